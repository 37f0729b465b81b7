//! Generated requests and policies.

use crate::flow::MAPPED;
use crate::harness::CHAT;
use crate::personal::Planted;
use crate::random::Random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_types::{DataClass, DataFlag, DataFlags, DataMark, PiiKind};
use serde_json::{Value, json};

pub const CLASSES: [DataClass; 3] = [DataClass::Open, DataClass::Sensitive, DataClass::Classified];
/// Tenants with their floors; `court` holds the basis `statute`.
pub const TENANTS: [(&str, DataClass, &[DataFlag]); 4] = [
    ("town", DataClass::Open, &[]),
    ("ward", DataClass::Sensitive, &[DataFlag::Health]),
    ("lab", DataClass::Open, &[DataFlag::Pseudonymised]),
    ("court", DataClass::Open, &[]),
];
/// Floors of each tenant's two keys.
pub const KEY_FLOORS: [DataClass; 2] = [DataClass::Open, DataClass::Sensitive];
const KINDS: [PiiKind; 7] = [
    PiiKind::Rrn,
    PiiKind::Frn,
    PiiKind::Passport,
    PiiKind::DriverLicense,
    PiiKind::Phone,
    PiiKind::Email,
    PiiKind::Card,
];
/// Headers with which a caller would like to say more than it may.
const HOSTILE: [(&str, &str); 4] = [
    ("host-override", "evil.example"),
    ("x-forwarded-host", "evil.example"),
    ("cookie", "session=hostile"),
    ("openai-organization", "hostile-org"),
];

/// What a tenant and one of its keys say of all their data.
pub fn floors(tenant: usize, key: usize) -> (DataMark, DataMark) {
    let (_, class, flags) = TENANTS[tenant];
    let flags = flags.iter().copied().collect();
    let key = DataMark {
        class: KEY_FLOORS[key],
        flags: DataFlags::NONE,
    };
    (DataMark { class, flags }, key)
}

/// A request.
#[derive(Clone, Debug)]
pub struct Case {
    pub tenant: usize,
    pub key: usize,
    pub path: &'static str,
    pub model: &'static str,
    pub stream: bool,
    /// What its headers say of its data.
    pub claimed: (Option<DataClass>, DataFlags),
    /// The least that its data is, whatever the request says.
    pub least: DataMark,
    pub planted: Vec<Planted>,
    /// A word that must be nowhere but at a place that may have the request.
    pub canary: String,
    /// What the last message says; a place that answers says it back.
    pub text: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Case {
    pub fn new(number: u64, random: &mut Random) -> Self {
        let (tenant, key) = (random.below(TENANTS.len()), random.below(2));
        let (floor, key_floor) = floors(tenant, key);
        let mut least = floor.union(key_floor);
        let mut claimed = (None, DataFlags::NONE);
        let mut headers = Vec::new();
        if random.one_in(2) {
            let class = *random.pick(&CLASSES);
            least.class = least.class.max(class);
            claimed.0 = Some(class);
            headers.push(("x-madang-data-class".to_owned(), class.to_string()));
        }
        if random.one_in(4) {
            let flag = *random.pick(&[DataFlag::Health, DataFlag::Minor, DataFlag::Credit]);
            least.flags = least.flags.with(flag);
            claimed.1 = flag.into();
            headers.push(("x-madang-data-flags".to_owned(), flag.to_string()));
        }
        if random.one_in(3) {
            let (name, value) = *random.pick(&HOSTILE);
            headers.push((name.to_owned(), value.to_owned()));
        }
        let path = *random.pick(&[CHAT, CHAT, CHAT, "/v1/completions", "/v1/messages"]);
        let model = match random.below(10) {
            0 => "v",
            1..=3 if path != "/v1/completions" => "x",
            _ => "m",
        };
        let mut case = Self {
            tenant,
            key,
            path,
            model,
            stream: random.one_in(2),
            claimed,
            least,
            planted: Vec::new(),
            canary: format!("zqcanary{number}qz"),
            text: String::new(),
            headers,
            body: String::new(),
        };
        case.write(number, random);
        for planted in &case.planted {
            case.least.flags = case.least.flags.union(planted.kind.flags());
        }
        if case.least.flags.has(DataFlag::UniqueId) {
            case.least.class = case.least.class.max(DataClass::Sensitive);
        }
        case
    }

    fn plant(&mut self, random: &mut Random) -> String {
        let (planted, sentence) = Planted::new(*random.pick(&KINDS), random);
        self.planted.push(planted);
        sentence
    }

    fn write(&mut self, number: u64, random: &mut Random) {
        self.text = format!("case-{number}. {} ", self.canary);
        for _ in 0..random.below(3) {
            let sentence = self.plant(random);
            self.text += &sentence;
        }
        let mut body = json!({"model": self.model, "max_tokens": 64, "stream": self.stream});
        let content = self.content(random);
        let messages = self.path == "/v1/messages";
        match self.path {
            "/v1/completions" => body["prompt"] = json!(self.text),
            _ => body["messages"] = json!([{"role": "user", "content": content}]),
        }
        if self.path == CHAT && random.one_in(3) {
            self.tool_call(&mut body, random);
        }
        if !messages && random.one_in(4) {
            body["metadata"] = json!({"note": self.plant(random)});
        }
        if !messages && random.one_in(8) {
            let key = self.plant(random);
            body["x_keys"] = json!({ key: "x" });
        }
        if !messages && random.one_in(12) {
            let planted = Planted::number(random);
            body["x_number"] = serde_json::from_str(&planted.written).unwrap();
            self.planted.push(planted);
        }
        if self.path == CHAT && random.one_in(12) {
            let inside = self.plant(random);
            let url = format!("data:text/plain;base64,{}", STANDARD.encode(inside));
            body["x_file"] = json!({ "file_data": url });
        }
        self.body = body.to_string();
    }

    /// The text as one string, or as parts that are cut anywhere.
    fn content(&self, random: &mut Random) -> Value {
        if random.one_in(2) {
            return json!(self.text);
        }
        let letters: Vec<char> = self.text.chars().collect();
        // The number of the case stays whole.
        let at = random
            .between(letters.len() / 3, letters.len() - 1)
            .max(24)
            .min(letters.len());
        let (first, second) = letters.split_at(at);
        let part =
            |letters: &[char]| json!({"type": "text", "text": letters.iter().collect::<String>()});
        json!([part(first), part(second)])
    }

    /// An earlier turn with a call whose arguments hold something.
    fn tool_call(&mut self, body: &mut Value, random: &mut Random) {
        let arguments = json!({"note": self.plant(random)}).to_string();
        let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let messages = body["messages"].as_array_mut().unwrap();
        messages.insert(
            0,
            json!({"role": "tool", "tool_call_id": "c1", "content": "done"}),
        );
        messages.insert(
            0,
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        );
        messages.insert(0, json!({"role": "user", "content": "go"}));
    }
}

const BASES: &str = "[[policy.basis]]\nid = \"law-1\"\nkind = \"statute\"\ntenant = [\"court\"]\nexpires_on = \"2099-12-31\"\n\
    [[policy.basis]]\nid = \"consent-1\"\nkind = \"consent\"\ntenant = [\"town\", \"lab\"]\nlocation = [\"far\"]\nexpires_on = \"2099-12-31\"\n";

/// A policy as it stands in a fleet file. Some do not load.
pub fn policy(random: &mut Random) -> String {
    let builtin = !random.one_in(3);
    let mut text = format!(
        "[policy]\nhome = \"KR\"\nbuiltin = {builtin}\nclassified_programmes = []\n{BASES}"
    );
    if !builtin {
        text += "[[policy.rule]]\nid = \"base\"\neffect = \"allow\"\ntext = \"t\"\nwhen = { class = [\"open\", \"sensitive\"] }\n";
        text += "[[policy.rule]]\nid = \"base-mask\"\neffect = \"mask\"\ntext = \"t\"\nwhen = { flags_any = [\"unique_id\"], basis_none = [\"statute\"] }\n";
    }
    for at in 0..random.below(5) {
        let effect = *random.pick(&["allow", "mask", "deny"]);
        text += &format!(
            "[[policy.rule]]\nid = \"r{at}\"\neffect = \"{effect}\"\ntext = \"t\"\nwhen = {{ {} }}\n",
            conditions(random)
        );
    }
    if random.one_in(4) {
        text += &format!(
            "[[policy.never]]\nid = \"n\"\ntext = \"t\"\nwhen = {{ {} }}\n",
            conditions(random)
        );
    }
    if random.one_in(10) {
        text += "[[policy.rule]]\nid = \"broken\"\neffect = \"perhaps\"\n";
    }
    text
}

fn conditions(random: &mut Random) -> String {
    let lists: [(&str, &[&str]); 8] = [
        ("class", &["open", "sensitive", "classified"]),
        (
            "flags_any",
            &["pii", "unique_id", "health", "credit", "minor"],
        ),
        (
            "flags_none",
            &["pii", "unique_id", "health", "credit", "minor"],
        ),
        (
            "zone",
            &[
                "gov_isolated",
                "domestic_private",
                "domestic_public",
                "foreign",
            ],
        ),
        ("tenant", &["town", "ward", "lab", "court"]),
        (
            "location",
            &[
                "gov", "home", "public", "abroad", "far", "near", "vague", "half", MAPPED,
            ],
        ),
        ("model", &["m", "v", "x"]),
        ("basis_any", &["statute", "consent"]),
    ];
    let mut all = Vec::new();
    for (key, words) in lists {
        if random.one_in(3) {
            let words = random.some(words).join("\", \"");
            all.push(format!("{key} = [\"{words}\"]"));
        }
    }
    if all.is_empty() {
        all.push("own = false".to_owned());
    }
    all.join(", ")
}
