//! The bounds and the probes of a fleet, with their defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[limits]`: every bound that is configurable. The doc page docs/fleet-file.md lists them with their reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once on the listener.
    #[schemars(range(min = 1, max = 1000000))]
    pub connections_max: u32,
    /// Requests under way at once with one key.
    #[schemars(range(min = 1, max = 1000000))]
    pub connections_key_max: u32,
    /// Bytes of request line and headers.
    #[schemars(range(min = 1024, max = 16777216))]
    pub header_bytes_max: u32,
    /// Time for the whole header section.
    #[schemars(range(min = 1, max = 3600000))]
    pub header_read_ms_max: u64,
    /// Bytes of a request body.
    #[schemars(range(min = 1024, max = 1073741824))]
    pub body_bytes_max: u64,
    /// Time for the whole request body.
    #[schemars(range(min = 1, max = 3600000))]
    pub body_read_ms_max: u64,
    /// Nesting of a JSON body.
    #[schemars(range(min = 4, max = 120))]
    pub json_depth_max: u32,
    /// Messages of one request (for responses: input items).
    #[schemars(range(min = 1, max = 1000000))]
    pub messages_max: u32,
    /// URLs of one request.
    #[schemars(range(min = 1, max = 1000))]
    pub fetch_count_max: u32,
    /// Bytes of all images that are fetched for one request.
    #[schemars(range(min = 1024, max = 1073741824))]
    pub fetch_bytes_max: u64,
    /// Time for fetching all images of one request.
    #[schemars(range(min = 1, max = 600000))]
    pub fetch_ms_max: u64,
    /// Requests waiting for a replica, per model.
    #[schemars(range(min = 1, max = 1000000))]
    pub queue_length_max: u32,
    /// Time a request may wait for a replica.
    #[schemars(range(min = 1, max = 86400000))]
    pub queue_wait_ms_max: u64,
    /// Time after which a waiting stream's client is told its place in the queue, once a second; 0: never.
    #[schemars(range(min = 0, max = 3600000))]
    pub queue_notice_ms: u64,
    /// Attempts on replicas, the first included.
    #[schemars(range(min = 1, max = 16))]
    pub attempts_max: u32,
    /// Retries of a model for each hundred first attempts, and ten a second beside them.
    #[schemars(range(min = 0, max = 1000))]
    pub retry_percent_max: u32,
    /// Second attempts beside one that is late, for each hundred first attempts of a model; 0: none.
    #[schemars(range(min = 0, max = 100))]
    pub hedge_percent_max: u32,
    /// Time per output token that an engine's batch may reach before fewer sequences share it.
    #[schemars(range(min = 1, max = 60000))]
    pub tpot_ms_target: u64,
    /// Time to first token beyond which an answer is of no use: what cannot be served within it is refused at once. 0: whoever waits, waits.
    #[schemars(range(min = 0, max = 86400000))]
    pub ttft_ms_max: u64,
    /// Time to connect to an engine.
    #[schemars(range(min = 1, max = 600000))]
    pub connect_ms_max: u64,
    /// Time from sending a request to the engine's first byte.
    #[schemars(range(min = 1, max = 86400000))]
    pub first_byte_ms_max: u64,
    /// Longest gap inside a stream.
    #[schemars(range(min = 1, max = 86400000))]
    pub stream_idle_ms_max: u64,
    /// Whole life of a request.
    #[schemars(range(min = 1, max = 86400000))]
    pub request_ms_max: u64,
    /// Bytes of an answer that is not a stream.
    #[schemars(range(min = 1024, max = 4_294_967_296_u64))]
    pub answer_bytes_max: u64,
    /// Bytes of a streamed answer.
    #[schemars(range(min = 1024, max = 4_294_967_296_u64))]
    pub stream_bytes_max: u64,
    /// Time a client may take no byte of its answer.
    #[schemars(range(min = 1, max = 86400000))]
    pub client_stall_ms_max: u64,
    /// Time that a usage record may be in the kernel's hands alone, after its answer has ended: the death of the machine
    /// loses the records of that time at most, the death of Madang none. 0: an answer ends once its record is synced to the disk.
    #[schemars(range(min = 0, max = 60000))]
    pub books_sync_ms_max: u64,
    /// Bytes of usage records that may wait on this machine's disk while the PostgreSQL of `madang up --store` is away: about
    /// 600 for each request, and about as many of memory. Where they are used up, requests are refused. Read at the start.
    #[schemars(range(min = 0, max = 17_179_869_184_u64))]
    pub books_spool_bytes_max: u64,
    /// Output tokens asked of the engine where the client names no bound.
    #[schemars(range(min = 1, max = 100000000))]
    pub output_tokens_default: u64,
    /// Time that running requests have when Madang stops.
    #[schemars(range(min = 1, max = 86400000))]
    pub drain_ms_max: u64,
    /// Bytes of a file that is sent to `/v1/files`.
    #[schemars(range(min = 1024, max = 1_099_511_627_776_u64))]
    pub file_bytes_max: u64,
    /// Bytes of all files of one tenant; results of batches count, and are kept even beyond.
    #[schemars(range(min = 1024, max = 1_125_899_906_842_624_u64))]
    pub files_tenant_bytes_max: u64,
    /// Seconds that a file is kept, and a batch after its end.
    #[schemars(range(min = 3600, max = 315_360_000))]
    pub files_keep_s: u64,
    /// Lines of a batch.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub batch_lines_max: u32,
    /// Lines of batches under way at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub batch_in_flight_max: u32,
    /// Bytes of log kept per replica.
    #[schemars(range(min = 131072, max = 1073741824))]
    pub replica_log_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_key_max: 1024,
            header_bytes_max: 64 * 1024,
            header_read_ms_max: 10_000,
            body_bytes_max: 32 * 1024 * 1024,
            body_read_ms_max: 60_000,
            json_depth_max: 64,
            messages_max: 16_384,
            fetch_count_max: 16,
            fetch_bytes_max: 20 * 1024 * 1024,
            fetch_ms_max: 10_000,
            queue_length_max: 1024,
            queue_wait_ms_max: 60_000,
            queue_notice_ms: 1_000,
            attempts_max: 2,
            retry_percent_max: 20,
            hedge_percent_max: 2,
            tpot_ms_target: 100,
            ttft_ms_max: 0,
            connect_ms_max: 3_000,
            first_byte_ms_max: 300_000,
            stream_idle_ms_max: 60_000,
            request_ms_max: 1_800_000,
            answer_bytes_max: 64 * 1024 * 1024,
            stream_bytes_max: 256 * 1024 * 1024,
            client_stall_ms_max: 60_000,
            books_sync_ms_max: 10,
            books_spool_bytes_max: 256 * 1024 * 1024,
            output_tokens_default: 4096,
            drain_ms_max: 30_000,
            file_bytes_max: 512 * 1024 * 1024,
            files_tenant_bytes_max: 16 * 1024 * 1024 * 1024,
            files_keep_s: 30 * 24 * 3_600,
            batch_lines_max: 50_000,
            batch_in_flight_max: 256,
            replica_log_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// `[probe]`: how replicas are watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// Time between probes of one replica.
    #[schemars(range(min = 10, max = 3600000))]
    pub interval_ms: u64,
    /// Time one probe may take.
    #[schemars(range(min = 1, max = 600000))]
    pub timeout_ms: u64,
    /// Failures in a row after which a replica counts as down (and a launched one is restarted).
    #[schemars(range(min = 1, max = 1000))]
    pub failures_max: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            interval_ms: 2_000,
            timeout_ms: 3_000,
            failures_max: 3,
        }
    }
}

/// `[audit]`: how the audit log is kept. Read at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditLog {
    /// The log's name on its checkpoints; by custom the address that serves it, without a scheme. It stays with the log.
    #[schemars(regex(pattern = "^[!-*,-~]{1,200}$"))]
    pub origin: String,
    /// A decision is synced to the disk at most so long after the kernel has it; 0: before its first byte leaves.
    #[schemars(range(min = 0, max = 60000))]
    pub sync_ms_max: u64,
    /// Months of the keys that can be destroyed begin so many seconds east of UTC.
    #[schemars(range(min = -43200, max = 50400))]
    pub offset_s: i32,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self {
            origin: "madang.local/audit".into(),
            sync_ms_max: 0,
            offset_s: 32_400,
        }
    }
}
