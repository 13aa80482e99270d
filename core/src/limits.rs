//! Every limit of the service, with its reason. Those that a request reaches by itself have cases at
//! the edge and past it in `tests/vectors/limits`; a zone's are tested beside its compiler, a batch's in
//! the contract of stores.

/// Bytes of a request body: a form with two tokens of the largest size and its other fields.
pub const BODY_BYTES: usize = 64 * 1024;
/// Seconds a request body may take: a form is small, and one that trickles in holds a place.
pub const BODY_SECS: u64 = 10;
/// Bytes of one compact JWT: twice the largest documented platform token.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Nesting of any JSON document from outside: platforms use five levels.
pub const JSON_DEPTH: usize = 32;
/// Members and elements of one JSON document from outside, all levels together.
pub const JSON_NODES: usize = 2_048;
/// Fields of a form: the token endpoint knows seventeen.
pub const FORM_FIELDS: usize = 64;
/// Bytes of a `kid`: an opaque look-up string.
pub const KID_BYTES: usize = 256;
/// Bytes of a subject identifier: the longest documented one is under 400.
pub const SUBJECT_BYTES: usize = 2 * 1024;
/// Bytes of a task id, a device id, a scope or another short name from a caller.
pub const NAME_BYTES: usize = 256;
/// Credentials from a session's root to a token, the token itself included (design §1).
pub const PATH: usize = 8;
/// Scopes of one request.
pub const SCOPES: usize = 64;
/// Bytes of a fetched document (key set, discovery, status list), after decoding.
pub const FETCH_BYTES: usize = 100 * 1024;
/// Keys of a fetched key set.
pub const KEYS: usize = 64;
/// Key sets that an instance remembers: one an issuer row and key credential of its zones, and those
/// of bundles before, until it starts anew.
pub const KEY_SETS: usize = 4_096;
/// Seconds for one fetch, from connecting to the last byte.
pub const FETCH_SECS: u64 = 5;
/// Seconds after a fetch for an issuer's keys during which an unknown `kid` starts no other one.
pub const KEY_COOLDOWN_SECS: i64 = 60;
/// Seconds a fetched key set is used without asking again.
pub const KEY_FRESH_SECS: i64 = 300;
/// Seconds the last good key set is used while its issuer cannot be reached; then fail closed.
pub const KEY_STALE_SECS: i64 = 24 * 3600;
/// Seconds from a new key's publication until it signs: twice what published clients keep a key set
/// for (300 s).
pub const KEY_LEAD_SECS: i64 = 600;
/// Keys of a zone at once: the one that signs, those before it whose tokens are alive, the next.
pub const ZONE_KEYS: usize = 16;
/// Users, applications, rules and keys that are disabled at once, and as many that are cut off: with
/// ids of the usual length they fit the snapshot's one record.
pub const MEASURES: usize = 200;
/// Status lists that a resource server remembers: of ten days' hours, since a list is one hour's. And
/// as many URIs of which none could be had.
pub const LISTS: usize = 256;
/// Bytes of a status list's entries when they are unpacked: a million entries of one bit.
pub const LIST_BYTES: usize = 128 * 1024;
/// Seconds a status list is used for at the most, whatever it says of itself.
pub const LIST_SECS: i64 = 300;
/// Seconds a status list is used for at the least, however old it was when it came.
pub const LIST_COOLDOWN_SECS: i64 = 5;
/// Seconds from the beginning of an attempt to get a status list that failed until the next one. The core
/// knows when an attempt began and not when it was over, so this is longer than one takes: three times
/// [`FETCH_SECS`], for the list, and the metadata and the keys that it or the token before it may need.
pub const LIST_RETRY_SECS: i64 = 20;
/// Proofs of possession that an instance of a resource server remembers: 700 a second for the longest
/// time that one could be shown, in about 4 MB.
pub const PROOFS: usize = 64 * 1024;
/// Seconds of difference allowed between an issuer's clock and ours.
pub const LEEWAY_SECS: i64 = 30;
/// Bytes of a DPoP proof: one of the largest RSA key has 3,700, and every platform takes a header of
/// this size.
pub const PROOF_BYTES: usize = 4 * 1024;
/// Seconds from the making of a DPoP proof until it is no longer taken, beside the leeway: a request
/// and its way here (RFC 9449 §11.1).
pub const PROOF_SECS: i64 = 60;
/// Seconds a single-use claim is kept beyond the last instant its token could be accepted.
pub const CLAIM_MARGIN_SECS: i64 = 60;
/// Seconds a snapshot is used as it is (design §4).
pub const SNAPSHOT_FRESH_SECS: i64 = 2;
/// Seconds a snapshot may be used when the store does not answer (design §4).
pub const SNAPSHOT_STALE_SECS: i64 = 5;
/// Seconds of one strong call to the store; then it counts as unavailable.
pub const STORE_SECS: u64 = 5;
/// Milliseconds of one read of the store: half of a strong call, because a read that fails is made once
/// more. One that hangs is given up for that as well: it may hang on a connection that is dead, and the
/// next one gets another.
pub const READ_MILLIS: u64 = STORE_SECS * 1_000 / 2;
/// Records of one batch (design §3).
pub const BATCH_RECORDS: usize = 24;
/// Bytes of one record (design §3).
pub const RECORD_BYTES: usize = 8 * 1024;
/// Bytes of one batch (design §3).
pub const BATCH_BYTES: usize = 64 * 1024;
/// Entries of one page of an index: a page of a few kilobytes.
pub const LIST_ENTRIES: usize = 100;
/// Sessions of one page of a list: each costs up to three reads, and a Worker of the free plan may make
/// fifty calls for a request, of which the index takes eight.
pub const SESSIONS: usize = 12;
/// Reads for one page of a session's records, for the same reason: 768 records.
pub const SESSION_READS: usize = 32;
/// Entries of a status list: a session's index is 20 bits of a hash, so 1 % of a list's sessions share a set
/// bit once 10,000 of its hour have ended.
pub const STATUS_BITS: u32 = 1 << 20;
/// Ended sessions and revoked hops of one hour that are kept by name: a feed below a megabyte, which every
/// place for copies takes, and 1.6 % of bits set. Beyond, every token of the hour has to be asked about.
pub const STATUS_ENTRIES: usize = 16 * 1024;
/// Bytes that an instance remembers of status lists, about: ten hours with as many entries as there can be.
/// Whoever asks for more of them has them made of their copies each time.
pub const STATUS_BYTES: usize = 32 * 1024 * 1024;
/// Seconds that verifiers go on with a list: an end is seen within a minute and what follows here.
pub const STATUS_TTL_SECS: i64 = 60;
/// Seconds a list is served without looking for what is new: a build lists one page at least, and signs.
pub const STATUS_FRESH_SECS: i64 = 10;
/// Seconds a list is good for at most; for so long it is served while the store does not answer.
pub const STATUS_STALE_SECS: i64 = 300;
/// Seconds until a list that is older than its `ttl` is asked for again.
pub const STATUS_RETRY_SECS: i64 = 5;
/// Seconds before the last listing from which on the next one begins: clocks differ, requests take their time
/// and the index is behind by seconds. What comes later is found by going through it all.
pub const STATUS_OVERLAP_SECS: i64 = 120;
/// Pages of the index for one build: 2,000 entries, more than an hour of as many as can be kept has in the
/// overlap. Where a platform allows fewer calls, a request goes as far as it gets and the next one goes on.
pub const STATUS_PAGES: usize = 20;
/// Pages for one build of the sessions of whoever was cut off.
pub const STATUS_PAGES_CUT_OFF: usize = 5;
/// Pages for the sessions of one who was cut off: 2,000 hops. With more, every token has to be asked about.
pub const STATUS_CUT_PAGES: usize = 20;
/// Seconds after a cut-off by which everything that was decided before it is recorded and listed.
pub const STATUS_SETTLE_SECS: i64 = 60;
/// Seconds after an emergency's key began to sign for which every token has to be asked about: published
/// clients keep a key set for 300 s, instances follow within 5 s, and the key begins 30 s before the emergency.
pub const STATUS_EMERGENCY_SECS: i64 = 390;
/// Longest life of an issuer's token that can be accepted, in seconds.
pub const ISSUER_TOKEN_SECS: i64 = 176_400;
/// Milliseconds between two looks at what another request of the instance is fetching.
pub const PAUSE_MILLIS: u32 = 5;
/// Looks in all: for as long as two fetches may take.
pub const PAUSES: u32 = 2_000;
/// Seconds after which a request that fetches for others counts as lost: longer than all of its
/// calls may take.
pub const FLIGHT_SECS: i64 = 20;
/// Denials recorded one by one in a session; further ones are counted only (design §2).
pub const DENIALS: u64 = 256;
/// Seconds over which denials without a session of their own are counted together.
pub const DENIAL_SECS: i64 = 24 * 3600;
/// Shortest and longest time that the record is kept in the store, in seconds: an hour to 400 days.
pub const RECORD_SECS: std::ops::RangeInclusive<i64> = 3_600..=400 * 86_400;
/// Policies that an event names; a decision that rests on more says how many more.
pub const EVENT_POLICIES: usize = 16;
/// Bytes of one request's scopes, joined: they stand in the token, on its path and in the record.
pub const SCOPE_BYTES: usize = 1_024;
/// Bytes of a task's envelope, which the opening of a session records.
pub const ENVELOPE_BYTES: usize = 4 * 1024;
/// Policies kept in sets that were put together for requests before.
pub const SET_POLICIES: usize = 50_000;
/// Bytes of one part of a stored bundle: one part fits a batch (design §3, §4).
pub const BUNDLE_PART_BYTES: usize = 48 * 1024;
/// Bytes of a compiled bundle.
pub const BUNDLE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a published copy: a whole bundle, and what stands before it.
pub const COPY_BYTES: usize = BUNDLE_BYTES + 64;
/// Seconds an operator's token may live: a request and its transport.
pub const OPERATOR_SECS: i64 = 120;
/// Policies of one bundle.
pub const POLICIES: usize = 10_000;
/// Bytes of one policy file.
pub const POLICY_BYTES: usize = 4 * 1024 * 1024;
/// Pairs of resource and scope in a task's envelope.
pub const ENVELOPE: usize = 64;
/// Shortest and longest life of an issued token, in seconds.
pub const TOKEN_SECS: std::ops::RangeInclusive<i64> = 10..=86_400;
/// Shortest and longest life of a session, in seconds.
pub const SESSION_SECS: std::ops::RangeInclusive<i64> = 60..=30 * 86_400;
/// Shortest and longest time without a hop after which a session is over, in seconds: far longer than a
/// decision may take, which is [`SNAPSHOT_STALE_SECS`] and counts as idle already.
pub const IDLE_SECS: std::ops::RangeInclusive<i64> = 60..=30 * 86_400;
/// Shortest and longest life of an unused refresh token, in seconds: longer than the grace beneath.
pub const REFRESH_SECS: std::ops::RangeInclusive<i64> = 60..=30 * 86_400;
/// Seconds after a refresh for which the token that was shown gets the same successor once more: as long
/// as a client waits for an answer before it asks again.
pub const REFRESH_GRACE_SECS: i64 = 30;
/// Shortest RSA modulus accepted, in bits (NIST SP 800-131A).
pub const RSA_BITS: usize = 2048;
/// Longest RSA modulus accepted, in bits: beyond it a verification is a denial of service.
pub const RSA_BITS_MAX: usize = 8192;
