//! Random sequences of operations: every store answers as a few maps in memory would.

use madang_store::conformance::sample::{full, key, plain, programme, project, tenant, terms};
use madang_store::{
    PostgresOptions, PostgresStore, SqliteStore, Store, StoreError, UsageFilter, UsageGroup,
    UsageSum, is_finished,
};
use madang_testkit::Postgres;
use madang_types::{
    KeyId, KeyRecord, Micros, ModelId, Outcome, Programme, ProgrammeId, Project, ProjectId,
    RequestId, Tenant, TenantId, Tokens, UsageRecord,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Operation {
    Append(Box<UsageRecord>),
    Get(RequestId),
    List(UsageFilter, Option<RequestId>, u32),
    Sum(UsageFilter, UsageGroup),
    ProgrammePut(Programme),
    TenantPut(Tenant),
    ProjectPut(Project),
    KeyInsert(KeyRecord),
    KeyPut(KeyRecord),
    KeyRevoke(KeyId, Micros),
    People(TenantId),
    Reopen,
}

/// The books as the trait's words describe them.
#[derive(Default)]
struct Model {
    usage: BTreeMap<RequestId, UsageRecord>,
    programmes: BTreeMap<ProgrammeId, Programme>,
    tenants: BTreeMap<TenantId, Tenant>,
    projects: BTreeMap<(TenantId, ProjectId), Project>,
    keys: BTreeMap<KeyId, KeyRecord>,
}

impl Model {
    fn list(
        &self,
        filter: &UsageFilter,
        before: Option<RequestId>,
        count_max: u32,
    ) -> Option<Vec<UsageRecord>> {
        let place = |record: &UsageRecord| (record.arrived_at, record.id);
        let end = match before {
            Some(id) => Some(place(self.usage.get(&id)?)),
            None => None,
        };
        let mut list: Vec<_> = self
            .usage
            .values()
            .filter(|record| {
                self.matches(filter, record) && end.is_none_or(|end| place(record) < end)
            })
            .cloned()
            .collect();
        list.sort_by_key(|record| std::cmp::Reverse(place(record)));
        list.truncate(count_max as usize);
        Some(list)
    }

    fn sum(&self, filter: &UsageFilter, group: UsageGroup) -> Vec<UsageSum> {
        let mut sums: BTreeMap<String, UsageSum> = BTreeMap::new();
        if group == UsageGroup::All {
            sums.insert(String::new(), UsageSum::default());
        }
        for record in self
            .usage
            .values()
            .filter(|record| self.matches(filter, record))
        {
            let name = match group {
                UsageGroup::All => String::new(),
                UsageGroup::Model => record
                    .model
                    .as_ref()
                    .map_or("-".into(), |model| model.to_string()),
                UsageGroup::Tenant => record.tenant.to_string(),
                UsageGroup::Project => {
                    let project = record.project.as_ref().map_or("-", |id| id.as_str());
                    format!("{}/{project}", record.tenant)
                }
                UsageGroup::TenantModel => {
                    let model = record.model.as_ref().map_or("-", |id| id.as_str());
                    format!("{}/{model}", record.tenant)
                }
                UsageGroup::Day { offset_s } => day(record.arrived_at, offset_s),
            };
            let sum = sums.entry(name.clone()).or_default();
            sum.group = name;
            sum.requests += 1;
            sum.finished += u64::from(is_finished(record.outcome));
            sum.uncached_tokens = sum.uncached_tokens.saturating_add(record.tokens.uncached.0);
            sum.cached_tokens = sum.cached_tokens.saturating_add(record.tokens.cached.0);
            sum.output_tokens = sum.output_tokens.saturating_add(record.tokens.output.0);
            sum.estimated += u64::from(record.tokens.estimated);
            sum.bytes_in = sum.bytes_in.saturating_add(record.bytes_in);
            sum.bytes_out = sum.bytes_out.saturating_add(record.bytes_out);
        }
        sums.into_values().collect()
    }

    fn matches(&self, filter: &UsageFilter, record: &UsageRecord) -> bool {
        let UsageFilter {
            programme,
            tenant,
            project,
            model,
            from,
            until,
        } = filter;
        let of = || self.tenants.get(&record.tenant)?.programme.as_ref();
        programme.as_ref().is_none_or(|it| Some(it) == of())
            && tenant.as_ref().is_none_or(|it| *it == record.tenant)
            && project
                .as_ref()
                .is_none_or(|it| Some(it) == record.project.as_ref())
            && model
                .as_ref()
                .is_none_or(|it| Some(it) == record.model.as_ref())
            && from.is_none_or(|from| record.arrived_at >= from)
            && until.is_none_or(|until| record.arrived_at < until)
    }
}

/// By another calendar than the store's own.
fn day(at: Micros, offset_s: i32) -> String {
    let zone = jiff::tz::Offset::from_seconds(offset_s)
        .expect("within a day")
        .to_time_zone();
    let at = jiff::Timestamp::from_microsecond(at.0).expect("within the calendar");
    at.to_zoned(zone).date().to_string()
}

fn id() -> impl Strategy<Value = RequestId> {
    (0_u128..24).prop_map(RequestId)
}

/// Few instants, close together around two midnights, so that equal ones and borders come up.
fn instant() -> impl Strategy<Value = Micros> {
    (-2_i64..3, -2_i64..3)
        .prop_map(|(hours, us)| Micros(54_000_000_000 + hours * 32_400_000_000 + us))
}

fn tenant_id() -> impl Strategy<Value = TenantId> {
    prop::sample::select(vec!["demo", "kma", "a"]).prop_map(|name| name.parse().expect("a name"))
}

fn model_id() -> impl Strategy<Value = Option<ModelId>> {
    prop::option::of(
        prop::sample::select(vec!["qwen", "Q/z:1", "e5"])
            .prop_map(|name| name.parse().expect("a name")),
    )
}

fn project_id() -> impl Strategy<Value = Option<ProjectId>> {
    prop::option::weighted(
        0.3,
        prop::sample::select(vec!["web", "app"]).prop_map(|name| name.parse().expect("a name")),
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Finished,
        Outcome::EngineCut,
        Outcome::Refused,
    ])
}

prop_compose! {
    fn record()(
        id in id(), at in instant(), (tenant, project) in (tenant_id(), project_id()), model in model_id(), outcome in outcome(),
        tokens in prop_oneof![0_u64..9, Just(i64::MAX.unsigned_abs())], estimated: bool, long: bool, decision: Option<String>,
    ) -> UsageRecord {
        let base = if long { full(id.0, at) } else { plain(id.0, at) };
        let mut record = base.expect("the sample is sound");
        record.project = project;
        (record.tenant, record.model, record.outcome, record.decision) = (tenant, model, outcome, decision);
        (record.tokens.output, record.tokens.estimated, record.bytes_in) = (Tokens(tokens), estimated, tokens);
        record
    }
}

prop_compose! {
    fn filter()(
        programme in prop::option::weighted(0.2, Just("open".parse().expect("a name"))),
        tenant in prop::option::of(tenant_id()), project in project_id(), model in model_id(),
        from in prop::option::of(instant()), until in prop::option::of(instant()),
    ) -> UsageFilter {
        UsageFilter { programme, tenant, project, model, from, until }
    }
}

fn group() -> impl Strategy<Value = UsageGroup> {
    prop_oneof![
        Just(UsageGroup::All),
        Just(UsageGroup::Model),
        Just(UsageGroup::Tenant),
        Just(UsageGroup::Project),
        prop::sample::select(vec![0, 32_400, -18_000, 20_700, 1])
            .prop_map(|offset_s| UsageGroup::Day { offset_s }),
    ]
}

prop_compose! {
    fn key_record()(id in "[a-c]", tenant in prop::option::of(tenant_id()), bounded: bool, label: String, hash: [u8; 32]) -> KeyRecord {
        let terms = if bounded { terms().expect("the sample is sound").into() } else { Default::default() };
        KeyRecord { tenant, terms, label, secret_hash: hash, ..key(&id).expect("a name") }
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => record().prop_map(|record| Operation::Append(Box::new(record))),
        2 => id().prop_map(Operation::Get),
        4 => (filter(), prop::option::of(id()), 0_u32..9).prop_map(|(f, before, count)| Operation::List(f, before, count)),
        4 => (filter(), group()).prop_map(|(filter, group)| Operation::Sum(filter, group)),
        1 => ("[a-c]", 0_u32..9).prop_map(|(id, weight)| Operation::ProgrammePut(programme(&id, weight).expect("a name"))),
        1 => ("[a-c]", 0_u32..9).prop_map(|(id, weight)| Operation::TenantPut(tenant(&id, weight).expect("a name"))),
        2 => (tenant_id(), "[a-c]", any::<String>()).prop_map(|(tenant, id, label)| {
            let row = project(tenant.as_str(), &id).expect("a name");
            Operation::ProjectPut(Project { label, ..row })
        }),
        2 => key_record().prop_map(Operation::KeyInsert),
        1 => key_record().prop_map(Operation::KeyPut),
        1 => ("[a-d]", instant()).prop_map(|(id, at)| Operation::KeyRevoke(id.parse().expect("a name"), at)),
        2 => tenant_id().prop_map(Operation::People),
        1 => Just(Operation::Reopen),
    ]
}

/// Applies one operation to both and compares what they say.
async fn check(store: &dyn Store, model: &mut Model, operation: Operation) {
    match operation {
        Operation::Append(record) => {
            assert_eq!(store.usage_append((*record).clone()).await, Ok(()));
            model.usage.entry(record.id).or_insert(*record);
        }
        Operation::Get(id) => {
            assert_eq!(store.usage_get(id).await, Ok(model.usage.get(&id).cloned()))
        }
        Operation::List(filter, before, count_max) => {
            let expected = model.list(&filter, before, count_max);
            let found = match store.usage_list(filter, before, count_max).await {
                Err(StoreError::Absent(_)) => None,
                found => Some(found.expect("the disk is sound")),
            };
            assert_eq!(found, expected);
        }
        Operation::Sum(filter, group) => {
            let expected = model.sum(&filter, group);
            assert_eq!(store.usage_sum(filter, group).await, Ok(expected));
        }
        Operation::ProgrammePut(programme) => {
            assert_eq!(store.programme_put(programme.clone()).await, Ok(()));
            model.programmes.insert(programme.id.clone(), programme);
        }
        Operation::TenantPut(tenant) => {
            assert_eq!(store.tenant_put(tenant.clone()).await, Ok(()));
            model.tenants.insert(tenant.id.clone(), tenant);
        }
        Operation::ProjectPut(project) => {
            assert_eq!(store.project_put(project.clone()).await, Ok(()));
            let place = (project.tenant.clone(), project.id.clone());
            model.projects.insert(place, project);
        }
        Operation::KeyInsert(key) => {
            let free = !model.keys.contains_key(&key.id);
            assert_eq!(store.key_insert(key.clone()).await.is_ok(), free);
            model.keys.entry(key.id.clone()).or_insert(key);
        }
        Operation::KeyPut(key) => {
            assert_eq!(store.key_put(key.clone()).await, Ok(()));
            model.keys.insert(key.id.clone(), key);
        }
        Operation::KeyRevoke(id, at) => {
            let expected = model.keys.get_mut(&id).map(|key| {
                key.revoked_at.get_or_insert(at);
                key.clone()
            });
            assert_eq!(store.key_revoke(id, at).await.ok(), expected);
        }
        Operation::People(tenant) => check_people(store, model, tenant).await,
        Operation::Reopen => {}
    }
}

async fn check_people(store: &dyn Store, model: &Model, tenant: TenantId) {
    assert_eq!(
        store.programme_list().await,
        Ok(model.programmes.values().cloned().collect())
    );
    assert_eq!(
        store.tenant_list().await,
        Ok(model.tenants.values().cloned().collect())
    );
    assert_eq!(
        store.project_list(None).await,
        Ok(model.projects.values().cloned().collect())
    );
    assert_eq!(
        store.key_list(None).await,
        Ok(model.keys.values().cloned().collect())
    );
    assert_eq!(
        store.tenant_get(tenant.clone()).await,
        Ok(model.tenants.get(&tenant).cloned())
    );
    let of_tenant = model
        .keys
        .values()
        .filter(|key| key.tenant.as_ref() == Some(&tenant));
    assert_eq!(
        store.key_list(Some(tenant.clone())).await,
        Ok(of_tenant.cloned().collect())
    );
}

/// Applies all of them, with the store closed and opened between where they say so.
fn check_all(operations: Vec<Operation>, open: impl Fn() -> Box<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made");
    let mut model = Model::default();
    let mut store = open();
    for operation in operations {
        if matches!(operation, Operation::Reopen) {
            drop(store);
            store = open();
        }
        runtime.block_on(check(&*store, &mut model, operation));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn sqlite_answers_as_the_model(operations in prop::collection::vec(operation(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.sqlite");
        check_all(operations, || Box::new(SqliteStore::open(&path).unwrap()));
    }

    #[test]
    fn postgres_answers_as_the_model(operations in prop::collection::vec(operation(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let server = Postgres::shared().unwrap();
        let database = server.database().unwrap();
        let url = database.url().parse().unwrap();
        let options = PostgresOptions {
            journal: Some(folder.path().join("records")),
            ..PostgresOptions::default()
        };
        check_all(operations, || Box::new(PostgresStore::open(&url, &options).unwrap()));
    }
}
