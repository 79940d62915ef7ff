//! The bounds of the daemon: what a connection, a turn and a batch may hold.

use std::time::Duration;

/// Commands taken from one connection in one turn.
pub const COMMANDS_PER_TURN: usize = 32;
/// Bytes of commands taken from one connection in one turn; one command may be larger.
pub const COMMAND_BYTES_PER_TURN: usize = 256 << 10;
/// What a Query of one job in full counts as at least: it is short, but its answer may be as long as
/// a payload and a result.
pub const JOB_QUERY_BYTES: usize = 256 << 10;
/// A connection that has sent no more than this since it was last heard does not wait behind those that
/// send without end.
pub const QUIET_BYTES: usize = 16 << 10;
/// Bytes of commands taken in one turn from all connections together.
pub const TURN_BYTES: usize = 4 << 20;
/// Weight of facts at which a batch takes no further turn.
pub const BATCH_BYTES: usize = 8 << 20;
/// Outstanding requests of one connection; the socket is not read beyond.
pub const OUTSTANDING_MAX: u32 = 1_024;
/// Bytes of requests of one connection that the driver has not taken yet; the socket is not read
/// beyond.
pub const CONNECTION_INBOX_BYTES: usize = 4 << 20;
/// The same for all connections together.
pub const INBOX_BYTES: usize = 256 << 20;
/// Bytes queued for one peer at which its streams get no further jobs until it has read some.
pub const OUTBOX_CHOKE_BYTES: usize = 4 << 20;
/// Bytes queued for one peer at which it is cut: it does not read its answers.
pub const OUTBOX_BYTES_MAX: usize = 64 << 20;
/// Bytes queued for all peers together at which those are cut that have more than
/// [`OUTBOX_CHOKE_BYTES`] unread.
pub const OUTBOXES_BYTES_MAX: usize = 512 << 20;
/// Bytes of unfinished frames of all connections together at which those are cut that would add to
/// them with a large one.
pub const ARRIVED_BYTES_MAX: usize = 512 << 20;
/// Open connections; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections of each port that have not said who they are; further ones are accepted a moment later.
pub const STRANGERS_MAX: usize = 256;
/// How long such a connection keeps its place though others wait for it.
pub const STRANGER_MOMENT: Duration = Duration::from_secs(1);
/// Time until a peer that vanished without a word is asked for a sign by the system, and between signs.
pub const KEEPALIVE: Duration = Duration::from_secs(15);
/// Time in which a peer must acknowledge what was sent, or offer room for it.
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Time from accept to a whole Hello.
pub const HANDSHAKE_SECONDS: u64 = 5;
/// Time from the first to the last byte of a frame.
pub const HALF_FRAME_SECONDS: u64 = 10;
/// Time in which a peer must take at least one byte of what is queued for it. With the window to
/// come back it stays below 20 s, in which a silent worker's jobs run again.
pub const WRITE_STALL_SECONDS: u64 = 15;
/// Time that a request of the gateway waits for room in the driver's inbox before it is refused.
pub const LOCAL_PATIENCE: Duration = Duration::from_secs(5);
/// How often a session of the broker's own says that it lives.
pub const LOCAL_SIGN: Duration = Duration::from_secs(3);
/// Words that wait for the listener of a stream inside the process; beyond, the stream ends.
pub const LOCAL_STREAM_WORDS: usize = 4_096;
/// Namespaces with a conversation of the gateway; beyond, idle ones are closed.
pub const LOCALS_MAX: usize = 256;
/// Open HTTP connections; further ones wait to be accepted.
pub const HTTP_CONNECTIONS_MAX: usize = 1_024;
/// Time for a request's head to arrive.
pub const HTTP_HEAD_SECONDS: u64 = 10;
/// Bytes of a request's head.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of a request.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Time for a request's body to arrive, beside that for its bytes.
pub const HTTP_BODY_SECONDS: u64 = 30;
/// Least bytes of a body in a second after that.
pub const HTTP_BODY_BYTES_PER_SECOND: u64 = 64 << 10;
/// Bytes of the bodies of all requests under way; beyond, requests with large ones are refused.
pub const HTTP_BODIES_BYTES_MAX: usize = 256 << 20;
/// Bytes of a body that is always let in.
pub const HTTP_BODY_BYTES_SMALL: usize = 64 << 10;
/// Bytes of a body of configuration: read into trees of values, it takes many times its length.
pub const HTTP_CONF_BYTES_MAX: usize = 1 << 20;
/// Jobs of one body with a job a line.
pub const HTTP_LINES_MAX: usize = 100_000;
/// Bytes that a client must take of an answer in the time of [`WRITE_STALL_SECONDS`].
pub const HTTP_ANSWER_BYTES_MIN: usize = 16 << 10;
/// Bytes of a request's body; many jobs at once.
pub const HTTP_BODY_BYTES_MAX: usize = 64 << 20;
/// Leaves copied for the fold in one slice: 256 records.
pub const LEAVES_PER_SLICE: usize = 16;
/// Bytes of parts at which a slice takes no further leaf; the fold thread holds a few slices.
pub const BYTES_PER_SLICE: usize = 8 << 20;
/// Table rows copied for the fold in one slice.
pub const ROWS_PER_SLICE: usize = 256;
/// Least time from value to value of a course, and that of the finest one that is kept.
pub const SERIES_STEP_MS_MIN: u64 = 10_000;
/// Time from value to value of a course when the Query does not say.
pub const SERIES_STEP_MS_DEFAULT: u64 = 60_000;
/// How far a course, or the figures for scaling, look when the Query does not say.
pub const SERIES_WINDOW_MS_DEFAULT: u64 = 3_600_000;
/// Values of one course in an answer.
pub const SERIES_VALUES_MAX: u64 = 3_000;
/// Queues with metrics of their own.
pub const METRICS_QUEUES_MAX: usize = 1_000;
/// Queues whose courses are kept, of all namespaces together; about 170 KB each after a month.
pub const SERIES_QUEUES_MAX: usize = 200;
/// Namespaces of which the sum of all queues is kept.
pub const SERIES_NAMESPACES_MAX: usize = 16;
/// How long nothing happened in a queue whose course may be dropped for another one's.
pub const SERIES_IDLE_MS: u64 = 86_400_000;
/// A pause of the loop longer than this was not the clients' silence.
pub const STALL_MS: u64 = 500;
/// Bytes of a file of tokens.
pub const TOKENS_FILE_BYTES_MAX: u64 = 4 << 20;
/// Tokens of a broker.
pub const TOKENS_MAX: usize = 10_000;
/// How much later an address is served after its first wrong token; it doubles with each.
pub const AUTH_DELAY_MIN: Duration = Duration::from_millis(50);
/// How much later at most.
pub const AUTH_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long an address is quiet until its wrong tokens are forgotten.
pub const AUTH_FORGET_MS: u64 = 60_000;
/// Addresses whose wrong tokens are remembered; beyond, those that are quiet for longest are forgotten.
pub const AUTH_PEERS_MAX: usize = 4_096;
/// Bytes of the body with which a browser logs in.
pub const LOGIN_BYTES_MAX: usize = 4 << 10;
/// How long a browser stays logged in.
pub const LOGIN_MS: u64 = 12 * 3_600_000;
/// How long the code of a link to log in with is good.
pub const LINK_MS: u64 = 60_000;
/// Browsers that are logged in, and codes that nobody has followed yet; beyond, the oldest go.
pub const LOGINS_MAX: usize = 1_024;
/// Those of one token, so that nobody logs all others out.
pub const LOGINS_OF_TOKEN_MAX: usize = 64;
