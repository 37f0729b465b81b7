//! Who may do what: one table. Whoever serves a request asks it; nothing else looks at a role to permit something.

use crate::Role;

/// How far a right reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is not had at all.
    Nothing,
    /// What is the key's own: a manager's programme with its tenants, or a key's tenant.
    Own,
    /// Everything.
    All,
}

macro_rules! actions {
    ($($(#[doc = $what:literal])+ $action:ident = [$($reach:ident),+];)+) => {
        /// Something that a caller may do, with the routes that do it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[doc = $what])+ $action),+
        }

        impl Action {
            /// Every action, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$action),+];

            /// What is done, and by which routes.
            pub fn what(self) -> &'static str {
                match self { $(Self::$action => concat!($($what),+).trim_ascii()),+ }
            }

            /// Its row of the table, in the order of [`Role::ALL`].
            fn row(self) -> [Reach; Role::ALL.len()] {
                match self { $(Self::$action => [$(Reach::$reach),+]),+ }
            }
        }
    };
}

actions! {
    //  operator, programme_manager, tenant_admin, member, auditor
    /// ask a model: `POST /v1/…`, `/v1/files`, `/v1/batches`
    Infer = [Nothing, Nothing, Own, Own, Nothing];
    /// see what may be asked: `/v1/models`, `/v1/messages/count_tokens`
    InferLook = [All, Nothing, Own, Own, Nothing];
    /// see what is served: `/api/v1/models`, `/openapi.json`
    ServedRead = [All, All, All, All, All];
    /// see the fleet: status, pools, replicas, logs, sites, power, stops, `/metrics`
    FleetRead = [All, Nothing, Nothing, Nothing, All];
    /// change the fleet: reload, set and lift stops, caps and events of power
    FleetWrite = [All, Nothing, Nothing, Nothing, Nothing];
    /// see programmes, and reports of what they promised and delivered
    ProgrammeRead = [All, Own, Nothing, Nothing, All];
    /// make, change and remove programmes
    ProgrammeWrite = [All, Nothing, Nothing, Nothing, Nothing];
    /// see tenants
    TenantRead = [All, Own, Own, Own, All];
    /// make, change and remove tenants
    TenantWrite = [All, Own, Nothing, Nothing, Nothing];
    /// see projects
    ProjectRead = [All, Own, Own, Own, All];
    /// make, change and disable projects
    ProjectWrite = [All, Own, Own, Nothing, Nothing];
    /// see keys, never their secrets
    KeyRead = [All, Own, Own, Own, All];
    /// make and revoke keys
    KeyWrite = [All, Own, Own, Nothing, Nothing];
    /// see usage, costs and single requests
    UsageRead = [All, Own, Own, Own, All];
    /// see what programmes have to allocate: `/api/v1/budgets`
    BudgetRead = [All, Own, Nothing, Nothing, All];
    /// set what programmes have to allocate
    BudgetWrite = [All, Nothing, Nothing, Nothing, Nothing];
    /// see allocations and what is left of them
    AllocationRead = [All, Own, Own, Own, All];
    /// grant and recall allocations
    AllocationWrite = [All, Own, Nothing, Nothing, Nothing];
    /// see prices and rates of exchange
    PriceRead = [All, All, All, All, All];
    /// set prices and rates of exchange
    PriceWrite = [All, Nothing, Nothing, Nothing, Nothing];
    /// see batch jobs and their runs: `GET /api/v1/jobs`
    JobRead = [All, Own, Own, Own, All];
    /// submit batch jobs: `POST /api/v1/jobs`
    JobSubmit = [Nothing, Nothing, Own, Own, Nothing];
    /// hold, release, withdraw batch jobs and have them begin anew
    JobWrite = [All, Own, Own, Own, Nothing];
    /// read what batch jobs print, and get into them
    JobOutput = [All, Nothing, Own, Own, Nothing];
    /// see which secrets of jobs there are, never their values: `GET /api/v1/secrets`
    SecretRead = [All, Nothing, Own, Own, All];
    /// put and delete secrets of jobs
    SecretWrite = [All, Nothing, Own, Own, Nothing];
    /// ask what would become of a request: `/api/v1/explain`
    Explain = [All, Own, Own, Own, All];
    /// read the audit log: `/audit/*`
    AuditRead = [All, Nothing, Nothing, Nothing, All];
    /// destroy keys of the audit log's hashes: `/api/v1/audit/erasures`
    AuditErase = [All, Nothing, Nothing, Nothing, Nothing];
}

impl Role {
    /// Every role, in the order of the table's columns.
    pub const ALL: [Self; 5] = [
        Self::Operator,
        Self::ProgrammeManager,
        Self::TenantAdmin,
        Self::Member,
        Self::Auditor,
    ];

    /// How far this role may do that.
    pub fn reach(self, action: Action) -> Reach {
        action.row()[self as usize]
    }

    /// The roles of keys that it may make and revoke.
    pub fn grants(self) -> &'static [Self] {
        match self {
            Self::Operator => &Self::ALL,
            Self::ProgrammeManager => &[Self::ProgrammeManager, Self::TenantAdmin, Self::Member],
            Self::TenantAdmin => &[Self::TenantAdmin, Self::Member],
            Self::Member | Self::Auditor => &[],
        }
    }

    /// Whether its keys belong to a tenant, so that they can ask models and somebody is billed.
    pub fn is_of_tenant(self) -> bool {
        matches!(self, Self::TenantAdmin | Self::Member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_the_order_of_the_roles() {
        for (place, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, place, "{role}");
        }
    }

    /// Of two reaches the wider.
    fn width(reach: Reach) -> u8 {
        match reach {
            Reach::Nothing => 0,
            Reach::Own => 1,
            Reach::All => 2,
        }
    }

    #[test]
    fn nobody_makes_a_key_that_may_do_more_to_the_control_plane() {
        for maker in Role::ALL {
            for made in maker.grants() {
                for action in Action::ALL {
                    // A tenant's own work, and what comes of it, is nobody else's: no part of the control plane.
                    let works = matches!(
                        action,
                        Action::Infer
                            | Action::InferLook
                            | Action::JobSubmit
                            | Action::JobOutput
                            | Action::SecretRead
                            | Action::SecretWrite
                    );
                    let wider = width(made.reach(*action)) > width(maker.reach(*action));
                    assert!(works || !wider, "{maker} makes {made}: {action:?}");
                }
            }
        }
    }

    #[test]
    fn an_auditor_changes_nothing_and_asks_nothing() {
        use Action::*;
        let reads = [
            ServedRead,
            FleetRead,
            ProgrammeRead,
            TenantRead,
            ProjectRead,
            KeyRead,
            UsageRead,
            BudgetRead,
            AllocationRead,
            PriceRead,
            JobRead,
            SecretRead,
            Explain,
            AuditRead,
        ];
        for action in Action::ALL {
            let expected = if reads.contains(action) {
                Reach::All
            } else {
                Reach::Nothing
            };
            assert_eq!(Role::Auditor.reach(*action), expected, "{action:?}");
        }
    }
}
