//! The words of a report's page, in each language.

use crate::params::Language;
use madang_ledger::report::Line;
use madang_types::Unit;

/// The words.
pub(super) struct Words {
    pub lang: &'static str,
    pub report: &'static str,
    pub so_far: &'static str,
    pub read_at: &'static str,
    pub agree: &'static str,
    pub differ: &'static str,
    pub promised: &'static str,
    pub delivered: &'static str,
    pub unspent: &'static str,
    pub requests: &'static str,
    pub tokens: &'static str,
    pub cost: &'static str,
    pub units: &'static str,
    pub unit: &'static str,
    pub budget: &'static str,
    pub granted: &'static str,
    pub owed: &'static str,
    pub of_promise: &'static str,
    pub by_day: &'static str,
    pub by_tenant: &'static str,
    pub by_model: &'static str,
    pub by_site: &'static str,
    pub name: &'static str,
    pub uncached: &'static str,
    pub cached: &'static str,
    pub output: &'static str,
    pub share: &'static str,
    pub others: &'static str,
    pub unknown: &'static str,
    pub none: &'static str,
    pub concentration: &'static str,
    pub spread_of: &'static str,
    pub tenants: &'static str,
    pub largest: &'static str,
    pub largest_three: &'static str,
    pub herfindahl: &'static str,
    pub cap: &'static str,
    pub books: &'static str,
    pub records: &'static str,
    pub ledger: &'static str,
    pub difference: &'static str,
    pub tenant: &'static str,
    pub site: &'static str,
    pub more: &'static str,
    pub missing: &'static str,
    pub unmetered: &'static str,
    pub notes: &'static str,
    units_of: [&'static str; 4],
}

impl Words {
    /// Those of a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &ENGLISH,
            Language::Ko => &KOREAN,
        }
    }

    /// What a line counts: its unit, and the class for which it is.
    pub fn counted(&self, line: &Line) -> String {
        let unit = self.unit_of(line.unit);
        match &line.class {
            Some(class) => format!("{unit} · {class}"),
            None => unit.to_owned(),
        }
    }

    /// A unit's name.
    pub fn unit_of(&self, unit: Unit) -> &'static str {
        let [won, tokens, hours, joules] = self.units_of;
        match unit {
            Unit::MicroWon => won,
            Unit::Tokens => tokens,
            Unit::UncachedTokens => self.uncached,
            Unit::CachedTokens => self.cached,
            Unit::OutputTokens => self.output,
            Unit::AcceleratorMs => hours,
            Unit::MilliJoules => joules,
        }
    }
}

const ENGLISH: Words = Words {
    lang: "en",
    report: "Monthly report",
    so_far: "the month is not over",
    read_at: "as of",
    agree: "Records and ledger agree",
    differ: "Records and ledger differ",
    promised: "Promised",
    delivered: "Delivered",
    unspent: "Unspent",
    requests: "Requests",
    tokens: "Tokens",
    cost: "Cost",
    units: "Promised and delivered",
    unit: "Unit",
    budget: "Budget",
    granted: "Granted",
    owed: "Owed",
    of_promise: "Of the promise",
    by_day: "By day",
    by_tenant: "By tenant",
    by_model: "By model",
    by_site: "By site",
    name: "Name",
    uncached: "Uncached tokens",
    cached: "Cached tokens",
    output: "Output tokens",
    share: "Share",
    others: "others",
    unknown: "none",
    none: "Nothing",
    concentration: "Concentration",
    spread_of: "Of",
    tenants: "Tenants",
    largest: "Largest",
    largest_three: "Largest three",
    herfindahl: "Herfindahl index",
    cap: "at most",
    books: "Records and ledger",
    records: "Records",
    ledger: "Ledger",
    difference: "Difference",
    tenant: "Tenant",
    site: "Site",
    more: " more differences",
    missing: " requests have a cost and no entry in the ledger",
    unmetered: " requests were served while nothing had a price or a budget, and have no entries; their tokens:",
    notes: "A request counts for the month and the day in which it arrived. Promised is the part of each grant that falls into the \
        month, evenly over its period or from tranche to tranche. Delivered is what was spent of this programme's grants; owed is what no grant paid. The \
        Herfindahl index is 10,000 where one tenant has all.",
    units_of: ["Won", "Tokens", "Accelerator-hours", "Joules"],
};

const KOREAN: Words = Words {
    lang: "ko",
    report: "월간 보고서",
    so_far: "아직 끝나지 않은 달",
    read_at: "기준 시각",
    agree: "이용 기록과 원장이 일치합니다",
    differ: "이용 기록과 원장이 다릅니다",
    promised: "약속",
    delivered: "제공",
    unspent: "미사용",
    requests: "요청",
    tokens: "토큰",
    cost: "비용",
    units: "약속과 제공",
    unit: "단위",
    budget: "예산",
    granted: "할당",
    owed: "미지급",
    of_promise: "약속 대비",
    by_day: "일별",
    by_tenant: "이용 기관별",
    by_model: "모델별",
    by_site: "사이트별",
    name: "이름",
    uncached: "입력 토큰(비캐시)",
    cached: "입력 토큰(캐시)",
    output: "출력 토큰",
    share: "비중",
    others: "그 밖",
    unknown: "없음",
    none: "없음",
    concentration: "집중도",
    spread_of: "대상",
    tenants: "기관 수",
    largest: "최대 기관",
    largest_three: "상위 3개",
    herfindahl: "허핀달 지수",
    cap: "상한",
    books: "이용 기록과 원장 대조",
    records: "이용 기록",
    ledger: "원장",
    difference: "차이",
    tenant: "이용 기관",
    site: "사이트",
    more: "건의 차이가 더 있습니다",
    missing: "건의 요청에 비용은 있으나 원장 기입이 없습니다",
    unmetered: "건의 요청은 가격과 예산이 없을 때 처리되어 원장 기입이 없습니다. 토큰:",
    notes: "요청은 도착한 달과 날에 집계합니다. 약속은 각 할당을 그 기간(회차가 있으면 다음 회차까지)에 고르게 나누어 이 달에 드는 몫입니다. 제공은 이 사업의 \
        할당에서 쓴 양이며, 미지급은 어떤 할당도 치르지 않은 금액입니다. 허핀달 지수는 한 기관이 모두 가지면 10,000입니다.",
    units_of: ["원", "토큰", "가속기·시간", "줄"],
};
