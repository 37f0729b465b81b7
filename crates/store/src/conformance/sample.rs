//! Rows to write in tests.

use super::Failure;
use madang_ledger::{Entry, EntryId, Leg, Phase, Subject};
use madang_types::{
    DataClass, DataFlag, DataFlags, Endpoint, ErrorCode, KeyRecord, KeyTerms, MicroWon, Micros,
    MilliJoules, Origin, Outcome, Priority, Programme, ProgrammeTerms, Project, RequestId, Role,
    Tenant, TokenUse, Tokens, Unit, UsageRecord,
};
use std::sync::Arc;

/// 2026-03-01 00:00 at Asia/Seoul.
pub const SEOUL_MIDNIGHT: Micros = Micros(1_772_290_800_000_000);
/// Seconds east of UTC of Asia/Seoul.
pub const SEOUL_OFFSET_S: i32 = 32_400;

/// A finished chat that arrived at `at`, with few optional fields set.
///
/// # Errors
/// Never, as its names are sound.
pub fn plain(id: u128, at: Micros) -> Result<UsageRecord, Failure> {
    Ok(UsageRecord {
        id: RequestId(id),
        arrived_at: at,
        tenant: "demo".parse()?,
        project: None,
        key: "k1".parse()?,
        endpoint: Endpoint::Chat,
        model: Some("qwen".parse()?),
        site: None,
        replica: None,
        outcome: Outcome::Finished,
        status: 200,
        error: None,
        streamed: false,
        attempts: 1,
        data_class: DataClass::Open,
        priority: Priority::Standard,
        tokens: TokenUse {
            uncached: Tokens(10),
            cached: Tokens(3),
            output: Tokens(7),
            estimated: false,
        },
        bytes_in: 100,
        bytes_out: 200,
        queued_us: 5,
        first_token_us: None,
        per_token_us: None,
        total_us: 900,
        cost: None,
        energy: None,
        decision: None,
    })
}

/// A record in which every field differs from [`plain`]'s and every optional one is set.
///
/// # Errors
/// Never, as its names are sound.
pub fn full(id: u128, at: Micros) -> Result<UsageRecord, Failure> {
    Ok(UsageRecord {
        id: RequestId(id),
        arrived_at: at,
        tenant: "kma".parse()?,
        project: Some("forecast".parse()?),
        key: "k2".parse()?,
        endpoint: Endpoint::Responses,
        model: Some("LGAI/EXAONE-4.0:32b".parse()?),
        site: Some("pohang".parse()?),
        replica: Some("pohang-h200-0".parse()?),
        outcome: Outcome::EngineCut,
        status: 502,
        error: Some(ErrorCode::EngineCut),
        streamed: true,
        attempts: 2,
        data_class: DataClass::Classified,
        priority: Priority::Critical,
        tokens: TokenUse {
            uncached: Tokens(11),
            cached: Tokens(12),
            output: Tokens(13),
            estimated: true,
        },
        bytes_in: 14,
        bytes_out: 15,
        queued_us: 16,
        first_token_us: Some(17),
        per_token_us: Some(18),
        total_us: 19,
        cost: Some(MicroWon(-20)),
        energy: Some(MilliJoules(21)),
        decision: Some("pohang: 가장 한가함 \"0\"".into()),
    })
}

/// A programme of weight `weight`.
///
/// # Errors
/// Where `id` is no name.
pub fn programme(id: &str, weight: u32) -> Result<Programme, Failure> {
    Ok(Programme {
        id: id.parse()?,
        weight,
        terms: ProgrammeTerms::default(),
        origin: Origin::Fleet,
        created_at: Micros(1),
        disabled_at: None,
    })
}

/// A tenant of weight `weight`.
///
/// # Errors
/// Where `id` is no name.
pub fn tenant(id: &str, weight: u32) -> Result<Tenant, Failure> {
    Ok(Tenant {
        id: id.parse()?,
        programme: Some("open".parse()?),
        weight,
        class_floor: DataClass::Sensitive,
        data_flags: DataFlag::Health.into(),
        origin: Origin::Api,
        created_at: Micros(2),
        disabled_at: None,
    })
}

/// A project of a tenant.
///
/// # Errors
/// Where `tenant` or `id` is no name.
pub fn project(tenant: &str, id: &str) -> Result<Project, Failure> {
    Ok(Project {
        id: id.parse()?,
        tenant: tenant.parse()?,
        label: "날씨 예보".into(),
        won_limit: None,
        created_at: Micros(4),
        disabled_at: None,
    })
}

/// Terms in which everything is bounded.
///
/// # Errors
/// Never, as its names are sound.
pub fn terms() -> Result<KeyTerms, Failure> {
    Ok(KeyTerms {
        models: ["LGAI/EXAONE-4.0:32b".parse()?, "qwen".parse()?].into(),
        endpoints: [Endpoint::Chat, Endpoint::Messages].into(),
        rate_requests_per_min: Some(1),
        rate_tokens_per_min: Some(u32::MAX),
        won_limit: Some(MicroWon(i64::MAX)),
    })
}

/// A member's key of the tenant `demo`.
///
/// # Errors
/// Where `id` is no name.
pub fn key(id: &str) -> Result<KeyRecord, Failure> {
    Ok(KeyRecord {
        id: id.parse()?,
        tenant: Some("demo".parse()?),
        programme: None,
        project: None,
        role: Role::Member,
        terms: Arc::default(),
        class_floor: DataClass::Open,
        data_flags: DataFlags::NONE,
        label: "laptop".into(),
        secret_hash: [7; 32],
        created_at: Micros(3),
        expires_at: None,
        revoked_at: None,
    })
}

/// A gateway's part of an allocation.
pub const LEASE: &str = "lease:gw-1:7:allocation:hanbit";
/// A site.
pub const SITE: &str = "site:pohang";

/// A leg of so many µ₩.
///
/// # Errors
/// Where a name is no account.
pub fn won(from: &str, to: &str, amount: i64) -> Result<Leg, Failure> {
    Ok(Leg {
        unit: Unit::MicroWon,
        amount,
        from: from.parse()?,
        to: to.parse()?,
    })
}

/// An entry about a lease.
pub fn entry(id: u128, phase: Phase, legs: Vec<Leg>) -> Entry {
    Entry {
        id: EntryId(id),
        phase,
        at: Micros(1),
        subject: Subject::Lease,
        legs,
    }
}

/// An entry that brings so many µ₩ from the world into [`LEASE`].
///
/// # Errors
/// Never, as its names are sound.
pub fn grant(id: u128, amount: i64) -> Result<Entry, Failure> {
    let legs = vec![
        won("world", "programme:startups", amount)?,
        won("programme:startups", "allocation:hanbit", amount)?,
        won("allocation:hanbit", LEASE, amount)?,
    ];
    Ok(entry(id, Phase::Direct, legs))
}
