use super::*;
use crate::jobs::SecretText;
use crate::jobs::slurm::ask::tests::{options, spec};
use std::process::Command;

#[test]
fn every_word_comes_through_a_shell() {
    for word in ["", "a b", "it's", "'", "''", "$HOME `id` \\ \"\n*", "쪽빛"] {
        let said = Command::new("bash")
            .args(["-c", &format!("printf %s {}", quoted(word))])
            .output();
        assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), word);
    }
    assert_eq!(line(["a", "b c"]), "'a' 'b c'");
}

#[test]
fn a_script_is_bash_and_holds_no_secret() {
    let mut spec = spec();
    spec.secrets
        .insert("TOKEN".to_owned(), SecretText("sesame-7f3a".to_owned()));
    spec.env
        .insert("COLOUR".to_owned(), "it's $blue".to_owned());
    spec.image = Some("docker.io/library/debian:12".to_owned());
    let mut options = options();
    options.container = ["apptainer", "exec", "docker://{image}"]
        .map(str::to_owned)
        .to_vec();
    let text = write(&options, &spec).unwrap();
    let checked = Command::new("bash")
        .args(["-n", "-c", &text])
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    assert!(!text.contains("sesame"));
    let begins =
        "begin 'apptainer' 'exec' 'docker://docker.io/library/debian:12' 'train' 'it'\\''s'\n";
    assert!(text.contains(begins), "{text}");
    assert!(text.contains("export COLOUR='it'\\''s $blue'\n"), "{text}");
    assert_eq!(secrets(&spec).unwrap(), "export TOKEN='sesame-7f3a'\n");
}
