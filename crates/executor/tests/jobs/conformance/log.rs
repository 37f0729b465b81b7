//! Their output is kept, within a bound.

use super::*;

pub async fn output_is_read_by_its_offset<F: Fixture>(site: F) {
    // Docker has two pipes for output and for errors: what was said on both at one moment comes in either order.
    let text = "echo one; echo two; echo three > $SITE/three; while [ ! -e $SITE/go ]; do sleep 0.1; done; echo four >&2";
    let spec = script(&site, text);
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site().join("three")).await;
    let mut said = Vec::new();
    // It is read while it runs, in small pieces.
    while said.len() < 8 {
        let part = site
            .executor()
            .log(spec.run, said.len() as u64, 3)
            .await
            .unwrap();
        assert_eq!(part.from, said.len() as u64);
        assert!(part.bytes.len() <= 3);
        said.extend(part.bytes);
    }
    assert_eq!(said, b"one\ntwo\n");
    let more = site.executor().log(spec.run, 8, 100).await.unwrap();
    assert_eq!((more.from, more.bytes), (8, Vec::new()));
    fs::write(site.site().join("go"), "").unwrap();
    until_ended(&site, spec.run).await;
    let more = site.executor().log(spec.run, 8, 100).await.unwrap();
    assert_eq!((more.from, more.bytes), (8, b"four\n".to_vec()));
}

pub async fn the_newest_is_kept<F: Fixture>(site: F) {
    let mut spec = script(
        &site,
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line-$i; done",
    );
    spec.log_bytes_max = 65_536;
    run(&site, spec.clone()).await;
    let whole: String = (1..=20_000).map(|i| format!("line-{i}\n")).collect();
    let mut from = 0;
    let mut kept = Vec::new();
    loop {
        let part = site.executor().log(spec.run, from, 10_000).await.unwrap();
        if part.bytes.is_empty() {
            break;
        }
        if kept.is_empty() {
            assert!(part.from > 0);
        } else {
            assert_eq!(part.from, from);
        }
        let at = usize::try_from(part.from).unwrap();
        assert_eq!(whole.as_bytes()[at..at + part.bytes.len()], part.bytes);
        from = part.from + part.bytes.len() as u64;
        kept.extend(part.bytes);
    }
    assert_eq!(from, whole.len() as u64);
    assert!((16_384..=65_536).contains(&kept.len()), "{}", kept.len());
}
