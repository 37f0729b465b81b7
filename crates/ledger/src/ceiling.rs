//! What a key or a project may spend at most, whoever pays: its name, and how it is filled.

use crate::account::{Account, Purse};
use crate::entry::{Entry, EntryId, Leg, Phase, Subject};
use madang_types::id::NameError;
use madang_types::{CeilingId, KeyId, MicroWon, Micros, ProjectId, TenantId, Unit};

/// The ceiling over a key.
///
/// # Errors
/// Its name leaves no room for one.
pub fn key_ceiling(key: &KeyId) -> Result<CeilingId, NameError> {
    CeilingId::new(&format!("key.{key}"))
}

/// The ceiling over a project. No name holds a `:`, so that no two projects have one ceiling.
///
/// # Errors
/// The two names leave no room for one.
pub fn project_ceiling(tenant: &TenantId, project: &ProjectId) -> Result<CeilingId, NameError> {
    CeilingId::new(&format!("project:{tenant}:{project}"))
}

/// Whether a project that may spend `before` may come to spend `after`: rights under a ceiling are out in the gateways, and perhaps
/// spent, so that one is only raised.
///
/// # Errors
/// What stands in the way.
pub fn check_project_limit(
    (tenant, project): (&TenantId, &ProjectId),
    (before, after): (Option<MicroWon>, Option<MicroWon>),
) -> Result<(), String> {
    match (before, after) {
        (Some(MicroWon(before)), None) => Err(format!(
            "the project may spend {before} millionths of a won, and that is raised and never taken away: raise it, or make another project"
        )),
        (Some(MicroWon(before)), Some(MicroWon(after))) if after < before => Err(format!(
            "the project may spend {before} millionths of a won already, and that is only raised: make another project"
        )),
        (_, Some(_)) => project_ceiling(tenant, project)
            .map(drop)
            .map_err(|_| "a project with a limit needs shorter names of tenant and project: 87 bytes in all at most".to_owned()),
        (None, None) => Ok(()),
    }
}

/// The entry that fills a ceiling up to its limit; `None` where it was filled as far.
pub fn fill(id: &CeilingId, (filled, limit): (MicroWon, MicroWon), at: Micros) -> Option<Entry> {
    let amount = limit.0.saturating_sub(filled.0);
    let name = match filled.0 {
        0 => format!("ceiling:{id}"),
        _ => format!("ceiling:{id}:{}", limit.0),
    };
    (amount > 0).then(|| Entry {
        id: EntryId::named(&name),
        phase: Phase::Direct,
        at,
        subject: Subject::Lease,
        legs: vec![Leg {
            unit: Unit::MicroWon,
            amount,
            from: Account::World,
            to: Account::Purse(Purse::Ceiling(id.clone())),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_projects_have_one_ceiling() {
        let ceiling = |tenant: &str, project: &str| {
            project_ceiling(&tenant.parse().unwrap(), &project.parse().unwrap())
        };
        assert_ne!(ceiling("a.b", "c"), ceiling("a", "b.c"));
        let of = |id: CeilingId| Account::Purse(Purse::Ceiling(id)).to_string();
        let account = of(ceiling("hanbit", "web").unwrap());
        assert_eq!(account, "ceiling:project:hanbit:web");
        assert_eq!(account.parse::<Account>().unwrap().to_string(), account);
        let long = "x".repeat(50);
        assert!(ceiling(&long, &long).is_err());
    }

    #[test]
    fn a_limit_is_only_raised() {
        let check = |before: Option<i64>, after: Option<i64>, expected: Result<(), &str>| {
            let names = (&"hanbit".parse().unwrap(), &"web".parse().unwrap());
            let limits = (before.map(MicroWon), after.map(MicroWon));
            match (check_project_limit(names, limits), expected) {
                (Ok(()), Ok(())) => {}
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                other => unreachable!("{other:?}"),
            }
        };
        check(None, None, Ok(()));
        check(None, Some(5), Ok(()));
        check(Some(5), Some(5), Ok(()));
        check(Some(5), Some(6), Ok(()));
        check(Some(5), Some(4), Err("only raised"));
        check(Some(5), None, Err("never taken away"));
        let long = "x".repeat(50);
        let names = (&long.parse().unwrap(), &long.parse().unwrap());
        let found = check_project_limit(names, (None, Some(MicroWon(1))));
        assert!(found.unwrap_err().contains("shorter names"));
    }

    #[test]
    fn a_ceiling_is_filled_once_and_raised_by_the_difference() {
        let id: CeilingId = "project:hanbit:web".parse().unwrap();
        let amount = |filled, limit| {
            let entry = fill(&id, (MicroWon(filled), MicroWon(limit)), Micros(7));
            entry.map(|entry| (entry.id, entry.legs[0].amount))
        };
        let first = EntryId::named("ceiling:project:hanbit:web");
        assert_eq!(amount(0, 100), Some((first, 100)));
        let raised = EntryId::named("ceiling:project:hanbit:web:150");
        assert_eq!(amount(100, 150), Some((raised, 50)));
        assert_eq!(amount(150, 150), None);
        assert_eq!(amount(150, 100), None);
    }
}
