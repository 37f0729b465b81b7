-- What the program of schema 17 wrote into PostgreSQL.
INSERT INTO usage (id, arrived_at, tenant, key, endpoint, model, site, replica, outcome, status, error, streamed, attempts,
    data_class, priority, uncached_tokens, cached_tokens, output_tokens, tokens_estimated, bytes_in, bytes_out, queued_us,
    first_token_us, per_token_us, total_us, cost_micro_won, energy_mj, decision) VALUES
    ('00000000000000000000000000000001', 1, 'demo', 'k1', 'chat', 'qwen', NULL, NULL, 'finished', 200, NULL, false, 1,
    'open', 'standard', 10, 3, 7, false, 100, 200, 5, NULL, NULL, 900, NULL, NULL, NULL),
    ('00000000000000000000000000000002', 2, 'kma', 'k2', 'responses', 'LGAI/EXAONE-4.0:32b', 'pohang', 'pohang-h200-0',
    'engine_cut', 502, 'engine_cut', true, 2, 'classified', 'critical', 11, 12, 13, true, 14, 15, 16, 17, 18, 19, -20, 21,
    'pohang: 가장 한가함 "0"');
INSERT INTO programmes (id, weight, starts_at, until_at, eligibility, residency_floor, origin, created_at)
    VALUES ('open', 4, -7, 8, '창업 7년 이내 기업', 'domestic_private', 'fleet', 1);
INSERT INTO projects (tenant, id, label, limit_micro_won, created_at) VALUES ('demo', 'web', '날씨 예보', 9, 4);
INSERT INTO tenants (id, programme, weight, class_floor, data_flags, origin, created_at) VALUES ('demo', 'open', 5, 'sensitive', 'health', 'api', 2);
INSERT INTO keys (id, tenant, role, class_floor, data_flags, label, secret_hash, created_at) VALUES
    ('k1', 'demo', 'member', 'classified', 'minor', 'laptop', '\x0707070707070707070707070707070707070707070707070707070707070707', 3);
INSERT INTO stops (scope, reason, set_by, set_at) VALUES ('country:US', '점검 1', 'op', 1);
UPDATE usage SET project = 'forecast' WHERE tenant = 'kma';
INSERT INTO budgets (programme, unit, model_class, amount, concentration_permille_max) VALUES
    ('open', 'tokens', '', 900, 500), ('open', 'tokens', 'large', 70, 1000);
INSERT INTO allocations (id, programme, tenant, unit, model_class, amount, hard, starts_at, until_at, created_at, tranches) VALUES
    ('demo-1', 'open', 'demo', 'tokens', NULL, 400, true, 5, 9, 4, '5:100,6:300'),
    ('demo-2', 'open', 'demo', 'tokens', 'large', 70, true, 5, 9, 4, '');
INSERT INTO jobs (tenant, spec, state, held, submitted_at) VALUES
    ('demo', '{"name": "train", "command": ["train"], "resources": {"count": 8}, "time_limit_ms": 3600000}', 'running', false, 1);
INSERT INTO job_runs (job, task, number, record) VALUES (1, -1, 1,
    '{"run":"1-1","nodes":"pohang-h200","pieces":[],"accelerator_milli":8000,"state":"starting","makes_room":false,"created_at":2,"started_at":null,"end":null,"charge":null}');
UPDATE job_term SET term = 1, gateway = 'gw-1', until_at = 9;
INSERT INTO accelerator_prices (accelerator, site, starts_at, hour_micro_won) VALUES ('h200', '', 5, 4500000000), ('h200', 'pohang', 5, 0);
UPDATE programmes SET jobs_when_ended = 'stop', jobs_preempted = 'free';
UPDATE job_runs SET record =
    '{"run":"1-1","nodes":"pohang-h200","place":{"site":"pohang","accelerator":"h200"},"pieces":[],"accelerator_milli":8000,"state":"starting","stop":null,"created_at":2,"started_at":null,"end":null,"charge":null}';
INSERT INTO secrets (tenant, project, name, version, seal_key, sealed, set_by, set_at) VALUES
    ('demo', '', 'TOKEN', 2, 'k1', 'sealed 봉인', 'op', 5), ('demo', 'web', 'TOKEN', 1, 'k1', 'sealed', 'op', 6);
INSERT INTO power_events (site, cap_watts, cut_milli, baseline_watts, from_us, until_us, reason, set_by, set_at, grid_order) VALUES
    ('pohang', 700000, NULL, NULL, 5, NULL, '여름 1', 'op', 4, NULL), ('pohang', NULL, 250, 900000, 5, 9, '', 'op', 4, 'kpx/ev-1/0');
INSERT INTO run_busy (job, task, number, began_at, measured_at, at_work_at, measured_ms, busy_ms, samples, source) VALUES
    (1, -1, 1, 3, 9, NULL, 800, 20, 2, 'nvml');
INSERT INTO nodes_held (hour, nodes, capacity_ms, held_ms) VALUES (1, 'pohang-h200', 900, 800);
INSERT INTO energy_notes (until_us, from_us, site, gateway, note) VALUES
    (60, 0, 'pohang', 'gw-1', '{"measured_mj":700,"modelled_mj":50,"engines":{"e1":{"mj":600,"span_us":60,"idle_watts":100}},"runs_mj":100,"rest_mj":50,"returned_mj":-3,"claims":{"e1":{"busy_us":40,"by":{"project:demo:web":9}}},"stand":{"at":59,"loads":{"rest":20},"meters":{"feed":[200,9000]},"runs":{"1-1":100}}}');
