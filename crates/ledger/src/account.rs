//! Whose amounts: accounts by name.

use madang_types::{
    AllocationId, CeilingId, Class, GatewayId, ProgrammeId, ProjectId, SiteId, TenantId, UpstreamId,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Rights to spend that were given out, and of which gateways hold parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Purse {
    /// What a programme granted to a tenant.
    Allocation(AllocationId),
    /// What a key or a project may spend at most, whoever pays.
    Ceiling(CeilingId),
}

/// One account. In text its kind and its names with colons between: `programme:startups`, `programme:startups:large`,
/// `site:pohang`, `lease:gw-1:7:allocation:hanbit-2026`. It has one balance for each unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Account {
    /// Where budgets and ceilings come from, and where what nobody used goes back to.
    World,
    /// What a programme has not allocated yet; of what is for one class of models, that.
    Programme(ProgrammeId, Option<Class>),
    /// What was given out and no gateway holds.
    Purse(Purse),
    /// The part of a purse that one run of a gateway holds.
    Lease {
        /// Which gateway.
        gateway: GatewayId,
        /// Which run of it: a later one has a greater number and its own accounts.
        epoch: u32,
        /// Part of what.
        of: Purse,
    },
    /// A tenant: what it owes where no allocation pays, and what was delivered to it where no project of it asked.
    Tenant(TenantId),
    /// A working unit of a tenant: what was delivered to it.
    Project(TenantId, ProjectId),
    /// A site of ours: what it earned, and (below zero) what it delivered.
    Site(SiteId),
    /// A model service run by others, likewise.
    Upstream(UpstreamId),
    /// Parts of purses whose gateway was given up: nobody knows yet what of them is spent.
    Suspense(Purse),
    /// The meters of a site: (below zero) the energy that they counted.
    Meter(SiteId),
    /// The model of a site: (below zero) the energy that no meter counted.
    Model(SiteId),
    /// What a site drew for nobody: machines that nobody used, engines that nobody asked for anything.
    Idle(SiteId),
}

impl Account {
    /// Whether it may not fall below zero, whatever is moved.
    pub fn is_limited(&self) -> bool {
        match self {
            Self::Programme(..) | Self::Purse(_) | Self::Lease { .. } | Self::Suspense(_) => true,
            Self::World
            | Self::Tenant(_)
            | Self::Project(..)
            | Self::Site(_)
            | Self::Upstream(_)
            | Self::Meter(_)
            | Self::Model(_)
            | Self::Idle(_) => false,
        }
    }

    /// The tenant that it is, or of which it is a project.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) | Self::Project(tenant, _) => Some(tenant),
            Self::World
            | Self::Programme(..)
            | Self::Purse(_)
            | Self::Lease { .. }
            | Self::Site(_)
            | Self::Upstream(_)
            | Self::Suspense(_)
            | Self::Meter(_)
            | Self::Model(_)
            | Self::Idle(_) => None,
        }
    }

    /// The allocation that it is, or of which it is a part.
    pub fn allocation(&self) -> Option<&AllocationId> {
        match self {
            Self::Purse(purse) | Self::Lease { of: purse, .. } | Self::Suspense(purse) => {
                match purse {
                    Purse::Allocation(id) => Some(id),
                    Purse::Ceiling(_) => None,
                }
            }
            Self::World
            | Self::Programme(..)
            | Self::Tenant(_)
            | Self::Project(..)
            | Self::Site(_)
            | Self::Upstream(_)
            | Self::Meter(_)
            | Self::Model(_)
            | Self::Idle(_) => None,
        }
    }
}

/// The text names no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an account is world, programme:ID, programme:ID:CLASS, allocation:ID, ceiling:ID, tenant:ID, project:TENANT:ID, site:ID, upstream:ID, \
     meter:SITE, model:SITE, idle:SITE, lease:GATEWAY:EPOCH:allocation:ID or suspense:allocation:ID (or ceiling:ID in the last two)"
)]
pub struct AccountError;

impl fmt::Display for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocation(id) => write!(f, "allocation:{id}"),
            Self::Ceiling(id) => write!(f, "ceiling:{id}"),
        }
    }
}

impl FromStr for Purse {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let (kind, id) = text.split_once(':').ok_or(AccountError)?;
        match kind {
            "allocation" => name(id).map(Self::Allocation),
            "ceiling" => name(id).map(Self::Ceiling),
            _ => Err(AccountError),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.write_str("world"),
            Self::Programme(id, None) => write!(f, "programme:{id}"),
            Self::Programme(id, Some(class)) => write!(f, "programme:{id}:{class}"),
            Self::Purse(purse) => purse.fmt(f),
            Self::Lease { gateway, epoch, of } => write!(f, "lease:{gateway}:{epoch}:{of}"),
            Self::Tenant(id) => write!(f, "tenant:{id}"),
            Self::Project(tenant, id) => write!(f, "project:{tenant}:{id}"),
            Self::Site(id) => write!(f, "site:{id}"),
            Self::Upstream(id) => write!(f, "upstream:{id}"),
            Self::Suspense(purse) => write!(f, "suspense:{purse}"),
            Self::Meter(id) => write!(f, "meter:{id}"),
            Self::Model(id) => write!(f, "model:{id}"),
            Self::Idle(id) => write!(f, "idle:{id}"),
        }
    }
}

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        if text == "world" {
            return Ok(Self::World);
        }
        let (kind, rest) = text.split_once(':').ok_or(AccountError)?;
        match kind {
            "programme" => {
                let (id, class) = match rest.split_once(':') {
                    Some((id, class)) => (id, Some(name(class)?)),
                    None => (rest, None),
                };
                Ok(Self::Programme(name(id)?, class))
            }
            "allocation" | "ceiling" => text.parse().map(Self::Purse),
            "lease" => lease(rest),
            "tenant" => name(rest).map(Self::Tenant),
            "project" => {
                let (tenant, id) = rest.split_once(':').ok_or(AccountError)?;
                Ok(Self::Project(name(tenant)?, name(id)?))
            }
            "site" => name(rest).map(Self::Site),
            "upstream" => name(rest).map(Self::Upstream),
            "suspense" => rest.parse().map(Self::Suspense),
            "meter" => name(rest).map(Self::Meter),
            "model" => name(rest).map(Self::Model),
            "idle" => name(rest).map(Self::Idle),
            _ => Err(AccountError),
        }
    }
}

fn lease(text: &str) -> Result<Account, AccountError> {
    let (gateway, rest) = text.split_once(':').ok_or(AccountError)?;
    let (epoch, of) = rest.split_once(':').ok_or(AccountError)?;
    // What `parse` takes beside digits (a sign, leading zeros) would give one account two names.
    let number: u32 = epoch.parse().map_err(|_| AccountError)?;
    if number.to_string() != epoch {
        return Err(AccountError);
    }
    Ok(Account::Lease {
        gateway: name(gateway)?,
        epoch: number,
        of: of.parse()?,
    })
}

fn name<T: FromStr>(text: &str) -> Result<T, AccountError> {
    text.parse().map_err(|_| AccountError)
}

impl TryFrom<String> for Account {
    type Error = AccountError;

    fn try_from(text: String) -> Result<Self, AccountError> {
        text.parse()
    }
}

impl TryFrom<String> for Purse {
    type Error = AccountError;

    fn try_from(text: String) -> Result<Self, AccountError> {
        text.parse()
    }
}

impl From<Purse> for String {
    fn from(purse: Purse) -> Self {
        purse.to_string()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_has_one_name() {
        for text in [
            "world",
            "programme:startups",
            "programme:startups:large",
            "allocation:hanbit-2026",
            "ceiling:key.abc.2026-11",
            "ceiling:project:hanbit:search",
            "lease:gw-1:7:allocation:hanbit-2026",
            "lease:gw-1:0:ceiling:c",
            "lease:gw-1:0:ceiling:project:hanbit:search",
            "tenant:hanbit",
            "project:hanbit:search",
            "site:pohang",
            "upstream:openai",
            "suspense:allocation:hanbit-2026",
            "meter:pohang",
            "model:pohang",
            "idle:pohang",
        ] {
            let account: Account = text.parse().unwrap();
            assert_eq!(account.to_string(), text);
        }
        for bad in [
            "",
            "World",
            "world:",
            "site",
            "site:",
            "site:a:b",
            "programme:a:",
            "programme:a:b:c",
            "lease:gw-1:07:allocation:a",
            "lease:gw-1:+7:allocation:a",
            "lease:gw-1:7:site:a",
            "lease:gw-1:-1:allocation:a",
            "project:hanbit",
            "suspense:world",
            "bank:a",
            "idle:",
            "meter:a:b",
        ] {
            assert_eq!(bad.parse::<Account>(), Err(AccountError), "{bad:?}");
        }
    }
}
