//! What a report says in words: in English, and in Korean for who reads it so. Each sentence stands here beside its twin.

use crate::sizing::Bound;
use madang_catalog::DeploymentError;
use serde::{Serialize, Serializer};
use std::fmt;

/// Words that mean the same in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In English; what JSON and the terminal show.
    pub english: String,
    /// In Korean.
    pub korean: String,
}

impl Said {
    pub(crate) fn new(english: impl Into<String>, korean: impl Into<String>) -> Self {
        Self {
            english: english.into(),
            korean: korean.into(),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.english)
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.english)
    }
}

/// What to know of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    Catalogue,
    StaysOn,
    GridCarbon,
    /// Requests of a year.
    Served(f64),
    NotConfirmed,
    NoWholeEngine,
    NoEffects,
    TakenOff,
}

impl Note {
    pub(crate) fn said(self) -> Said {
        let (english, korean) = match self {
            Self::Catalogue => (
                "capacities are those of a catalogue of measured and published figures; each has its band, and the plan is no measurement",
                "처리 능력은 측정·공개된 수치로 만든 카탈로그의 값이며 각각 오차 배수가 있음: 이 계획은 측정이 아님",
            ),
            Self::StaysOn => (
                "energy: all machines stay on; what they draw beside idling follows the load of the hour",
                "전력량: 모든 장비를 계속 켜 두며, 유휴 전력을 넘는 부분은 그 시간의 부하를 따름",
            ),
            Self::GridCarbon => (
                "CO2 is that of electricity from the grid; making the hardware is not counted",
                "CO2는 계통 전기의 것이며 하드웨어 제조는 계산하지 않음",
            ),
            Self::Served(requests) => {
                let millions = requests / 1e6;
                return Said::new(
                    format!("{millions:.0} million requests a year are served"),
                    format!("연간 요청 {millions:.0}백만 건을 처리"),
                );
            }
            Self::NotConfirmed => (
                "not confirmed by a run of the twin",
                "트윈 실행으로 검증하지 않음",
            ),
            Self::NoWholeEngine => (
                "one more of anything takes no whole engine off of this fleet, so it saves at most energy; sensitivity has greater steps",
                "무엇을 하나 더해도 엔진 하나가 줄지는 않으므로 아끼는 것은 많아야 전기임: 민감도는 더 큰 폭으로 바꿈",
            ),
            Self::NoEffects => (
                "effects on the economy: the goal names no table of coefficients ([effects]), and none ships",
                "경제 파급 효과: 목표 파일에 계수표([effects])가 없으며, 제공되는 계수표도 없음",
            ),
            Self::TakenOff => (
                "what the sites do not hold at the peak is taken off of the whole year",
                "첨두에 감당하지 못하는 비율을 한 해 전체에서 뺌",
            ),
        };
        Said::new(english, korean)
    }
}

/// What the law asks of a site in Korea that draws so much.
pub(crate) fn assessed() -> Said {
    Said::new(
        "a contract of 10 MW or more needs a power-system impact assessment (Special Act on the Promotion of Distributed Energy, in force since 14 June 2024): at least 70 of 100 points, about six months in practice",
        "계약전력 10 MW 이상은 전력계통영향평가 대상(분산에너지 활성화 특별법, 2024년 6월 14일 시행): 100점 중 70점 이상이어야 하며 실제로는 약 6개월 걸림",
    )
}

/// Of the peak only a part is held, by chips that can be had or by power.
pub(crate) fn part_of_peak(chips: bool, served: f64) -> Said {
    let (english, korean) = match chips {
        true => ("chips that can be had", "구할 수 있는 칩"),
        false => ("power caps of the sites", "사이트의 전력 상한"),
    };
    let percent = served * 100.0;
    Said::new(
        format!("{english} hold {percent:.1} % of the peak"),
        format!("{korean}으로는 첨두 수요의 {percent:.1} %까지 감당"),
    )
}

/// The cheapest engine does not fit under the caps.
pub(crate) fn no_room(engine: &str) -> Said {
    Said::new(
        format!("{engine} would be cheaper and has no room under the caps"),
        format!("더 싼 방법({engine})이 전력 상한 안에 들어가지 않음"),
    )
}

/// Another chip serves the model, since there are too few of the cheapest.
pub(crate) fn too_few(chip: &str, model: &str) -> Said {
    Said::new(
        format!("there are too few of {chip} to serve {model}, and others do"),
        format!("{model}: 칩 {chip}의 수량이 모자라 다른 칩으로 제공"),
    )
}

/// What keeps most engines from more, and how many accelerators.
pub(crate) fn bound(bound: Bound, count: u64, all: u64) -> Said {
    let (english, korean) = match bound {
        Bound::HbmBytes => (
            "memory of the accelerators holds no more sequences",
            "가속기 메모리에 시퀀스가 더 들어가지 않음",
        ),
        Bound::HbmBandwidth => (
            "tokens would come too slowly, most of the time memory is read",
            "더 늘리면 토큰이 너무 늦어짐(시간 대부분이 메모리 읽기)",
        ),
        Bound::Compute => (
            "tokens would come too slowly, most of the time is arithmetic",
            "더 늘리면 토큰이 너무 늦어짐(시간 대부분이 연산)",
        ),
        Bound::Link => (
            "tokens would come too slowly, most of the time accelerators wait for each other",
            "더 늘리면 토큰이 너무 늦어짐(시간 대부분이 가속기 간 대기)",
        ),
        Bound::Engine => (
            "tokens would come too slowly, most of the time the engine itself takes",
            "더 늘리면 토큰이 너무 늦어짐(시간 대부분이 엔진 자체의 처리)",
        ),
        Bound::FirstToken => (
            "first tokens would come too late",
            "더 늘리면 첫 토큰이 너무 늦어짐",
        ),
        Bound::Schedule => (
            "one iteration takes no more prompts or sequences",
            "한 번의 반복에 입력이나 시퀀스를 더 넣을 수 없음",
        ),
    };
    Said::new(
        format!("{english}: {count} of {all} accelerators"),
        format!("{korean}: 가속기 {all}개 중 {count}개"),
    )
}

/// What a request costs beside the engines that were taken.
pub(crate) fn dearer(ratio: f64) -> Said {
    Said::new(
        format!("a request costs {ratio:.2} times what it costs on the engines taken"),
        format!("요청당 비용이 선택한 엔진의 {ratio:.2}배"),
    )
}

/// No rate of the twin's runs keeps the SLO.
pub(crate) fn never_kept() -> Said {
    Said::new(
        "the twin keeps the SLO at no rate",
        "트윈에서는 어떤 요청률에서도 SLO를 지키지 못함",
    )
}

/// A chip cannot compute in this form.
pub(crate) fn no_units(chip: &str, precision: &str) -> Said {
    Said::new(
        format!("{chip} has no units for {precision}"),
        format!("{chip}에는 {precision} 연산기가 없음"),
    )
}

/// KV memory holds less than one request.
pub(crate) fn kv_full(kv_tokens: u64, needed: f64) -> Said {
    Said::new(
        format!("KV memory holds {kv_tokens} tokens; one request needs {needed:.0}"),
        format!("KV 메모리에 {kv_tokens}토큰이 들어가는데 요청 하나에 {needed:.0}토큰이 필요함"),
    )
}

/// One request alone misses the SLO.
pub(crate) fn too_slow_alone(ttft_ms: f64, tpot_ms: f64) -> Said {
    Said::new(
        format!(
            "alone, a request has its first token after {ttft_ms:.0} ms and the others every {tpot_ms:.0} ms"
        ),
        format!(
            "요청 하나만 있어도 첫 토큰에 {ttft_ms:.0} ms, 이후 토큰마다 {tpot_ms:.0} ms가 걸림"
        ),
    )
}

/// Why a deployment cannot be.
pub(crate) fn cannot_be(error: &DeploymentError) -> Said {
    let korean = match error {
        DeploymentError::Unknown { name, .. } => format!("{name}: 카탈로그에 없음"),
        DeploymentError::Memory {
            model,
            chip,
            accelerators,
            needed_gb,
            has_gb,
        } => format!(
            "{model}: {chip} {accelerators}개 각각에 {needed_gb:.0} GB가 필요한데 {has_gb:.0} GB뿐임, 가속기를 늘리거나 더 작은 가중치를 쓸 것"
        ),
    };
    Said::new(error.to_string(), korean)
}

/// A sum of effects is without some sectors.
pub(crate) fn without_sectors(kind: &str, sectors: &str) -> Said {
    let (english, korean) = match kind {
        "production" => ("production", "생산 유발"),
        "value_added" => ("value added", "부가가치 유발"),
        _ => ("jobs", "취업 유발"),
    };
    Said::new(
        format!(
            "effects on the economy: {english} is without what is spent on {sectors}, of which the table has no such coefficient"
        ),
        format!(
            "경제 파급 효과: 계수표에 {sectors}의 계수가 없어 {korean}에 그 지출은 포함되지 않음"
        ),
    )
}

/// One more MW for a site.
pub(crate) fn power_at(site: &str) -> Said {
    Said::new(format!("1 MW at {site}"), format!("{site}의 전력 1 MW"))
}

/// One more MW of own renewables for a site.
pub(crate) fn renewables_at(site: &str) -> Said {
    Said::new(
        format!("1 MW of renewables at {site}"),
        format!("{site}의 재생에너지 1 MW"),
    )
}
