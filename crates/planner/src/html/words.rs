//! Words of the page, in English and Korean.

use crate::inputs::DEFAULT;
use crate::said::Said;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Korean.
    Korean,
}

/// Each word in both languages.
const WORDS: &[(&str, &str)] = &[
    ("Plan", "계획"),
    ("at a glance", "한눈에 보기"),
    ("accelerators", "가속기"),
    ("by the error band", "오차 범위"),
    ("won for a million tokens", "토큰 100만 개당 원"),
    ("gCO2 for a million tokens", "토큰 100만 개당 gCO2"),
    ("tCO2 a year", "연간 tCO2"),
    ("renewable share", "재생에너지 비율"),
    ("peak power", "최대 전력"),
    ("of the peak is served", "첨두 수요 충족률"),
    ("memory of accelerators (HBM)", "가속기 메모리(HBM)"),
    (
        "host memory for conversations (DRAM)",
        "대화 보관용 호스트 메모리(DRAM)",
    ),
    ("requests a second at the peak", "첨두 초당 요청"),
    ("What binds", "제약 요인"),
    ("Engines", "엔진"),
    ("model", "모델"),
    ("chip", "칩"),
    ("division", "분할"),
    ("engines", "엔진 수"),
    ("batch", "배치"),
    ("output tokens/s each", "가속기당 출력 토큰/초"),
    ("first token, ms", "첫 토큰, ms"),
    ("each token, ms", "토큰당, ms"),
    ("band", "오차 배수"),
    ("bound by", "한계"),
    ("Confirmed by the twin", "트윈 검증"),
    ("planned, requests/s", "계획 요청/초"),
    ("simulated, requests/s", "모의 요청/초"),
    ("ratio", "비율"),
    ("kept the SLO", "SLO 준수"),
    ("not run", "실행하지 않음"),
    ("Sites", "사이트"),
    ("site", "사이트"),
    ("cap", "상한"),
    ("energy, GWh a year", "연간 전력량, GWh"),
    ("Power by hour", "시간대별 전력"),
    ("summer", "여름"),
    ("winter", "겨울"),
    ("own renewables", "자체 재생에너지"),
    ("grid", "계통"),
    ("won/kWh", "원/kWh"),
    ("Cost of a year", "연간 비용"),
    ("servers", "서버"),
    ("buildings", "건물·설비"),
    ("staff and repair", "인력·유지보수"),
    ("electricity", "전기"),
    ("sum", "합계"),
    ("million won", "백만 원"),
    (
        "renting the same, won for a million tokens",
        "같은 가속기 임차 시, 토큰 100만 개당 원",
    ),
    ("One more of", "하나 더 있다면"),
    ("saves, million won a year", "절감, 연간 백만 원"),
    ("fewer accelerators", "줄어드는 가속기"),
    ("more served", "추가 충족"),
    (
        "Sensitivity: won for a million tokens, each input a fifth less and a fifth more",
        "민감도: 각 입력을 20 % 줄이고 늘릴 때 토큰 100만 개당 원",
    ),
    ("input", "입력"),
    ("a fifth less", "20 % 감소"),
    ("a fifth more", "20 % 증가"),
    ("Years", "연도별 단계"),
    ("year", "연도"),
    ("served", "충족률"),
    ("bought", "구매"),
    ("investment, million won", "투자, 백만 원"),
    ("running, million won", "운영, 백만 원"),
    ("Effects on the economy", "경제 파급 효과"),
    ("building, once", "건설, 1회"),
    ("running, each year", "운영, 매년"),
    ("spent", "지출"),
    ("of it at home", "국내분"),
    ("production", "생산 유발"),
    ("value added", "부가가치 유발"),
    ("jobs", "취업 유발, 명"),
    (
        "The goal names no table of coefficients, and none ships.",
        "목표 파일에 계수표가 없으며, 제공되는 계수표도 없습니다.",
    ),
    ("Ways not taken", "선택하지 않은 방법"),
    ("reason", "이유"),
    ("in words", "설명"),
    ("Notes", "참고"),
    ("Inputs", "입력값"),
    ("key", "항목"),
    ("value", "값"),
    ("where it is from", "출처"),
    (DEFAULT, "목표 파일에 없어 기본값을 씀"),
    (
        "Small numbers lead to the inputs that a figure rests on.",
        "작은 숫자는 해당 수치의 근거가 되는 입력값으로 연결됩니다.",
    ),
    ("users", "이용자"),
    ("prompt tokens", "입력 토큰"),
    ("output tokens", "출력 토큰"),
    ("peak over mean", "첨두 ÷ 평균"),
    ("first-token SLO", "첫 토큰 SLO"),
    ("per-token SLO", "토큰당 SLO"),
    ("utilisation at the peak", "첨두 이용률"),
    ("price of chips", "칩 가격"),
    ("price of servers beside chips", "칩 대비 서버 가격"),
    ("life of servers", "서버 수명"),
    ("interest", "이자율"),
    ("price of buildings", "건물·설비 가격"),
    ("price of electricity", "전기 요금"),
    ("power of servers", "서버 전력"),
    ("power caps", "전력 상한"),
    ("memory bandwidth of chips", "칩 메모리 대역폭"),
    ("memory of chips", "칩 메모리 용량"),
    ("arithmetic of chips", "칩 연산 성능"),
    ("PUE", "전력사용효율(PUE)"),
    ("power", "전력"),
    ("chips", "칩 수량"),
    ("hbm_bytes", "가속기 메모리 용량"),
    ("hbm_bandwidth", "메모리 대역폭"),
    ("compute", "연산"),
    ("link", "가속기 간 연결"),
    ("engine", "엔진"),
    ("first_token", "첫 토큰 시간"),
    ("schedule", "스케줄"),
    ("memory", "메모리"),
    ("slo", "SLO"),
    ("precision", "정밀도"),
    ("cost", "비용"),
    ("stock", "칩 재고"),
];

impl Language {
    /// A word that is written in English here; one that has no other stays as it is.
    pub(super) fn say(self, english: &str) -> &str {
        match self {
            Self::English => english,
            Self::Korean => {
                let found = WORDS.iter().find(|(known, _)| *known == english);
                found.map_or(english, |(_, korean)| korean)
            }
        }
    }

    /// What a report says, in it.
    pub(super) fn of(self, said: &Said) -> &str {
        match self {
            Self::English => &said.english,
            Self::Korean => &said.korean,
        }
    }

    /// An hour of the day.
    pub(super) fn hour(self, hour: impl std::fmt::Display) -> String {
        match self {
            Self::English => format!("{hour} h"),
            Self::Korean => format!("{hour}시"),
        }
    }

    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }
}
