//! Partitions on Redis, where a variable names one.
//!
//! A partition is one hash, beside it its keys in their order, and an index one sorted set. A batch is
//! one Lua script, which Redis runs whole with nothing in between. All keys of a zone have the zone as
//! their hash tag, so that a partition and the indexes that its batches feed lie in one slot of a cluster. Redis' own expiry is housekeeping: it
//! comes an hour later than the last record of a partition, and never decides.

use writ_core::host::{
    Batch, Commit, Expect, Listed, Listing, Page, Partition, Range, Record, Unavailable, Write,
};
use writ_core::limits;
use writ_core::moment::Timestamp;

/// An answer, or a part of one: Spin flattens what Redis nests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nil,
    /// A short word.
    Status(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Sends one command.
pub trait Send {
    /// See [`Send`].
    ///
    /// # Errors
    ///
    /// The server's own words, or the platform's.
    fn send(&self, command: &str, arguments: Vec<Vec<u8>>) -> Result<Vec<Answer>, String>;
}

/// How it is known that the server keeps what it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// The server is asked, at most once a minute.
    Asked,
    /// The operator says so.
    Asserted,
}

/// Applies a batch. See `writ_core::host::Host::commit`.
///
/// # Errors
///
/// The batch exceeds a limit or comes too late, the server failed, or it is not durable.
pub fn commit(
    server: &impl Send,
    durable: Durable,
    partition: &Partition,
    batch: &Batch,
) -> Result<Commit, Unavailable> {
    batch.within_limits(partition.kind).map_err(|reason| Unavailable(reason.into()))?;
    let (keys, arguments) = (keys(partition, batch), arguments(durable, partition, batch));
    for _ in 0..2 {
        let answer = script(server, COMMIT, &keys, &arguments)?;
        let mut answer = answer.into_iter();
        let word = match answer.next() {
            Some(Answer::Bytes(word)) => String::from_utf8_lossy(&word).into_owned(),
            other => return Err(Unavailable(format!("redis answered a commit with {other:?}"))),
        };
        match (word.as_str(), answer.next()) {
            ("done", _) => return Ok(Commit::Done),
            ("refused", Some(Answer::Bytes(key))) => {
                return Ok(Commit::Refused(String::from_utf8_lossy(&key).into_owned()));
            }
            ("late", _) => {
                return Err(Unavailable("the batch came too late to be written".to_owned()));
            }
            ("unchecked", _) => check(server, &partition.zone)?,
            _ => return Err(Unavailable(format!("redis answered a commit with `{word}`"))),
        }
    }
    Err(Unavailable("redis forgets what was found of its settings".to_owned()))
}

/// Reads a range of records. See `writ_core::host::Host::read`.
///
/// # Errors
///
/// The server failed.
pub fn read(
    server: &impl Send,
    partition: &Partition,
    range: Range<'_>,
) -> Result<Vec<Record>, Unavailable> {
    let limit = limits::BATCH_RECORDS.to_string();
    let (start, end) = (format!("[{}", range.start()), format!("({}", range.end()));
    let arguments = [start.into_bytes(), end.into_bytes(), limit.into_bytes()];
    let answer = script(server, READ, &[place(partition), order(partition)], &arguments)?;
    let strange = || Unavailable("a record in redis has another form".to_owned());
    answer
        .chunks(2)
        .map(|pair| match pair {
            [Answer::Bytes(key), Answer::Bytes(stored)] => {
                let key = String::from_utf8(key.clone()).map_err(|_| strange())?;
                let newline = stored.iter().position(|byte| *byte == b'\n').ok_or_else(strange)?;
                let (head, rest) = stored.split_at_checked(newline).ok_or_else(strange)?;
                let head = std::str::from_utf8(head).map_err(|_| strange())?;
                let mut head = head.split(' ');
                let number = head.next().and_then(|text| text.parse().ok());
                let expires = Timestamp(number.ok_or_else(strange)?);
                let version = head.next().and_then(|text| text.parse().ok()).ok_or_else(strange)?;
                let value = rest.get(1..).unwrap_or_default().to_vec();
                Ok(Record { key, value, expires, version })
            }
            _ => Err(strange()),
        })
        .collect()
}

/// Lists entries of an index. See `writ_core::host::Host::list`.
///
/// # Errors
///
/// The cursor is none of ours, or the server failed.
pub fn list(server: &impl Send, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
    let after = match &listing.after {
        None => instant(listing.from),
        Some(cursor) => {
            let last = Listed::from_cursor(cursor);
            let last = last.ok_or_else(|| Unavailable("the cursor is unreadable".to_owned()))?;
            // Beyond every entry of this name: what follows it in the set is when it expires.
            format!("{} {} {} ~", instant(last.at), last.session, last.key)
        }
    };
    let limit = listing.limit.min(limits::LIST_ENTRIES);
    let arguments = [
        index(zone, &listing.index, &listing.name),
        format!("({after}").into_bytes(),
        b"+".to_vec(),
        b"LIMIT".to_vec(),
        b"0".to_vec(),
        limit.to_string().into_bytes(),
    ];
    let members = server.send("ZRANGEBYLEX", arguments.into()).map_err(failed)?;
    let full = members.len() == limit;
    let entries: Vec<Listed> = members
        .into_iter()
        .filter_map(|member| {
            let Answer::Bytes(bytes) = member else { return None };
            let text = String::from_utf8(bytes).ok()?;
            let (entry, _expires) = text.rsplit_once(' ')?;
            Listed::from_cursor(entry)
        })
        .collect();
    let next = entries.last().filter(|_| full).map(Listed::cursor);
    Ok(Page { entries, next })
}

/// Refuses a server that may drop or lose what it acknowledged, and notes there for a minute that it was
/// asked: an instance lives for one request, and the server remembers for all of them.
///
/// # Errors
///
/// Says which setting it wants.
fn check(server: &impl Send, zone: &str) -> Result<(), Unavailable> {
    for (name, wanted) in [
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        // With `yes`, `always` does not hold while the server rewrites its files.
        ("no-appendfsync-on-rewrite", "no"),
    ] {
        let answer =
            server.send("CONFIG", vec![b"GET".to_vec(), name.into()]).map_err(|error| {
                Unavailable(format!(
                    "redis does not say what its `{name}` is ({error}): see that it is \
                     `{wanted}`, `maxmemory-policy` is `noeviction`, `appendonly` is `yes`, \
                     `appendfsync` is `always` and `no-appendfsync-on-rewrite` is `no`, and set the \
                     variable `redis_durable` to `asserted`"
                ))
            })?;
        let found = match answer.get(1) {
            Some(Answer::Bytes(found)) => String::from_utf8_lossy(found).into_owned(),
            Some(Answer::Status(found)) => found.clone(),
            _ => String::new(),
        };
        if found != wanted {
            return Err(Unavailable(format!(
                "redis has `{name} {found}` and may lose what it acknowledged: set \
                 `CONFIG SET {name} {wanted}`, and in its configuration file too"
            )));
        }
    }
    let minute = [checked(zone), b"1".to_vec(), b"PX".to_vec(), b"60000".to_vec()];
    server.send("SET", minute.into()).map_err(failed)?;
    Ok(())
}

fn script(
    server: &impl Send,
    script: &str,
    keys: &[Vec<u8>],
    arguments: &[Vec<u8>],
) -> Result<Vec<Answer>, Unavailable> {
    let mut all = vec![script.as_bytes().to_vec(), keys.len().to_string().into_bytes()];
    all.extend_from_slice(keys);
    all.extend_from_slice(arguments);
    server.send("EVAL", all).map_err(failed)
}

fn failed(reason: String) -> Unavailable {
    Unavailable(format!("redis: {reason}"))
}

fn place(partition: &Partition) -> Vec<u8> {
    let Partition { zone, kind, id } = partition;
    format!("writ:{{{zone}}}:{}:{id}", kind.name()).into_bytes()
}

/// Where the partition's keys are, in their order.
fn order(partition: &Partition) -> Vec<u8> {
    let Partition { zone, kind, id } = partition;
    format!("writ:{{{zone}}}:keys:{}:{id}", kind.name()).into_bytes()
}

fn index(zone: &str, index: &str, name: &str) -> Vec<u8> {
    format!("writ:{{{zone}}}:index:{index}:{name}").into_bytes()
}

fn checked(zone: &str) -> Vec<u8> {
    format!("writ:{{{zone}}}:checked").into_bytes()
}

/// Text that sorts as the instants do, of which there are none before 1970.
fn instant(at: Timestamp) -> String {
    format!("{:020}", at.0.max(0))
}

fn keys(partition: &Partition, batch: &Batch) -> Vec<Vec<u8>> {
    let entries = batch.index.iter();
    [checked(&partition.zone), place(partition), order(partition)]
        .into_iter()
        .chain(entries.map(|entry| index(&partition.zone, entry.index, &entry.name)))
        .collect()
}

/// Counts, then conditions, writes and entries, as the script reads them.
fn arguments(durable: Durable, partition: &Partition, batch: &Batch) -> Vec<Vec<u8>> {
    let text = |text: &str| text.as_bytes().to_vec();
    let number = |number: i64| number.to_string().into_bytes();
    let count = |count: usize| count.to_string().into_bytes();
    let mut all = vec![
        text(if durable == Durable::Asserted { "asserted" } else { "asked" }),
        number(batch.now.0),
        batch.until.map_or_else(Vec::new, |until| number(until.0)),
        text(&batch.id),
        count(batch.expect.len()),
        count(batch.write.len()),
        count(batch.index.len()),
    ];
    for expect in &batch.expect {
        let (test, value) = match expect {
            Expect::Absent(_) => ("absent", text("0")),
            Expect::Live { until, .. } => ("live", number(until.0)),
            Expect::LiveOrAbsent { until, .. } => ("live or absent", number(until.0)),
            Expect::Version { version, .. } => ("version", text(&version.to_string())),
            Expect::Below { version, .. } => ("below", text(&version.to_string())),
        };
        all.extend([text(expect.key()), text(test), value]);
    }
    for write in &batch.write {
        let (act, expires, value) = match write {
            Write::Put(record) => ("put", record.expires, record.value.clone()),
            Write::PutIfAbsent(record) => ("keep", record.expires, record.value.clone()),
            Write::Forget(_) => ("forget", batch.now, Vec::new()),
        };
        all.extend([text(write.key()), text(act), number(expires.0), value]);
    }
    for entry in &batch.index {
        let member = format!(
            "{} {} {} {}",
            instant(entry.at),
            partition.id,
            entry.key,
            instant(entry.expires)
        );
        all.push(member.into_bytes());
    }
    all
}

// A record is `EXPIRES VERSION BATCH\nVALUE`. Lua's numbers are floating point, exact up to 2^53: an
// expiry is compared as a number and stored as the text that came, a version is far below.
const COMMIT: &str = r"
local asserted, now, till, id = ARGV[1] == 'asserted', tonumber(ARGV[2]), ARGV[3], ARGV[4]
local expects, writes, entries = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if not asserted and redis.call('EXISTS', KEYS[1]) == 0 then return {'unchecked'} end
local function find(key)
    local stored = redis.call('HGET', KEYS[2], key)
    if not stored then return nil end
    local expires, version, batch = string.match(stored, '^(%S+) (%S+) (%S+)\n')
    return {expires = tonumber(expires), version = tonumber(version), batch = batch}
end
local function live(key)
    local found = find(key)
    if found and found.expires > now then return found end
    return nil
end
local at = 8 + 3 * expects
if writes > 0 then
    local first = find(ARGV[at])
    if first and first.batch == id then return {'done'} end
end
for number = 0, expects - 1 do
    local key, test = ARGV[8 + 3 * number], ARGV[9 + 3 * number]
    local bound, found = tonumber(ARGV[10 + 3 * number]), live(ARGV[8 + 3 * number])
    local version = found and found.version or 0
    local holds = false
    if test == 'absent' then holds = not found
    elseif test == 'live' then holds = found ~= nil and found.expires >= bound
    elseif test == 'live or absent' then holds = not found or found.expires >= bound
    elseif test == 'version' then holds = version == bound
    elseif test == 'below' then holds = version < bound end
    if not holds then return {'refused', key} end
end
local clock = tonumber(redis.call('TIME')[1])
if till ~= '' and clock > tonumber(till) then return {'late'} end
local function keep(key, expires, fresh)
    local forever = 9000000000000
    if expires > forever then redis.call('PERSIST', key) return end
    local wanted = (math.max(expires, clock) + 3600 - clock) * 1000
    local left = redis.call('PTTL', key)
    if fresh or (left >= 0 and left < wanted) then
        redis.call('PEXPIRE', key, string.format('%.0f', wanted))
    end
end
for number = 0, writes - 1 do
    local key, act = ARGV[at + 4 * number], ARGV[at + 1 + 4 * number]
    local expires, value = ARGV[at + 2 + 4 * number], ARGV[at + 3 + 4 * number]
    local found = live(key)
    if act == 'forget' then
        redis.call('HDEL', KEYS[2], key)
        redis.call('ZREM', KEYS[3], key)
    elseif act == 'put' or not found then
        local version = found and found.version + 1 or 1
        local fresh = redis.call('EXISTS', KEYS[2]) == 0
        local head = expires .. ' ' .. string.format('%.0f', version) .. ' ' .. id .. '\n'
        redis.call('HSET', KEYS[2], key, head .. value)
        redis.call('ZADD', KEYS[3], 0, key)
        keep(KEYS[2], tonumber(expires), fresh)
    end
end
local left = redis.call('PTTL', KEYS[2])
if left > 0 then redis.call('PEXPIRE', KEYS[3], left) else redis.call('PERSIST', KEYS[3]) end
at = at + 4 * writes
for number = 0, entries - 1 do
    local key, member = KEYS[4 + number], ARGV[at + number]
    local fresh = redis.call('EXISTS', key) == 0
    redis.call('ZADD', key, 0, member)
    keep(key, tonumber(string.match(member, ' (%d+)$')), fresh)
    for _, old in ipairs(redis.call('ZRANGE', key, 0, 3)) do
        if tonumber(string.match(old, ' (%d+)$')) + 3600 < clock then redis.call('ZREM', key, old) end
    end
end
return {'done'}
";

// The keys are in the order of their bytes, so that only what is answered is looked at.
const READ: &str = r"
local records = {}
for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
    local stored = redis.call('HGET', KEYS[1], key)
    if stored then
        records[#records + 1] = key
        records[#records + 1] = stored
    end
end
return records
";
