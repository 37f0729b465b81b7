//! One record in the journal's file: its checksum, its length, the round of the half that it stands in, and the record
//! as JSON (so that a newer program reads what an older one left behind).

use crate::StoreError;
use crate::settlement::Line;
use std::io::{self, Read};

/// Checksum (4 bytes), length of the JSON (4), round (8); little-endian. The checksum covers all that follows it.
const HEAD_BYTES: usize = 16;
/// A record's usual length, set aside before it is written.
const USUAL_BYTES: usize = 1024;

/// A record with room for its head, which [`seal`] fills in.
pub(super) fn encode(line: &Line) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    bytes.resize(HEAD_BYTES, 0);
    serde_json::to_writer(&mut bytes, line)
        .map_err(|e| StoreError::Invalid(format!("the record has no JSON: {e}")))?;
    let length = u32::try_from(bytes.len() - HEAD_BYTES)
        .map_err(|_| StoreError::Invalid("the record is over 4 GiB".into()))?;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Makes the frame belong to a round.
pub(super) fn seal(frame: &mut [u8], round: u64) {
    frame[8..HEAD_BYTES].copy_from_slice(&round.to_le_bytes());
    let sum = crc32fast::hash(&frame[4..]);
    frame[..4].copy_from_slice(&sum.to_le_bytes());
}

/// The sound frames at the beginning of a half, all of one round; what follows them was never confirmed.
///
/// # Errors
/// [`StoreError::Unavailable`] where the half cannot be read; [`StoreError::Damaged`] where a sound frame holds no record.
pub(super) fn decode(mut half: impl Read) -> Result<(u64, Vec<Line>), StoreError> {
    let unreadable =
        |e: io::Error| StoreError::Unavailable(format!("cannot read the journal: {e}"));
    let (mut round, mut records) = (0, Vec::new());
    while let Some((of, json)) = next(&mut half).map_err(unreadable)? {
        if !records.is_empty() && of != round {
            break;
        }
        let record = serde_json::from_slice(&json)
            .map_err(|e| StoreError::Damaged(format!("a record of the journal: {e}")))?;
        records.push(record);
        round = of;
    }
    Ok((round, records))
}

/// The next frame: its round and its JSON. `None` where there is no sound one.
fn next(half: &mut impl Read) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut json = Vec::with_capacity(USUAL_BYTES);
    half.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let Ok(head) = <[u8; HEAD_BYTES]>::try_from(head) else {
        return Ok(None);
    };
    let [s0, s1, s2, s3, l0, l1, l2, l3, round @ ..] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    half.take(length.into()).read_to_end(&mut json)?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[4..]);
    sum.update(&json);
    let whole = u32::try_from(json.len()) == Ok(length);
    let sound = whole && sum.finalize() == u32::from_le_bytes([s0, s1, s2, s3]);
    Ok(sound.then(|| (u64::from_le_bytes(round), json)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sample::{full, plain};
    use madang_types::{Micros, UsageRecord};

    fn line(record: UsageRecord) -> Line {
        Line::Settled(Box::new(record.into()))
    }

    fn frames(round: u64, ids: &[u128]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for id in ids {
            let mut frame = encode(&line(full(*id, Micros(7)).unwrap())).unwrap();
            seal(&mut frame, round);
            bytes.extend(frame);
        }
        bytes
    }

    fn check(bytes: &[u8], round: u64, ids: &[u128]) {
        let (found, records) = decode(bytes).unwrap();
        let expected: Vec<_> = ids
            .iter()
            .map(|id| line(full(*id, Micros(7)).unwrap()))
            .collect();
        assert_eq!((found, records), (round, expected));
    }

    #[test]
    fn what_was_written_reads_back_until_the_first_unsound_byte() {
        check(&[], 0, &[]);
        check(&[0; 4096], 0, &[]);
        check(&[255; 4096], 0, &[]);
        let whole = frames(3, &[1, 2]);
        check(&whole, 3, &[1, 2]);
        check(&[&whole[..], &[0; 99]].concat(), 3, &[1, 2]);
        check(&[&whole[..], &frames(2, &[9])[..]].concat(), 3, &[1, 2]);
        let first = frames(3, &[1]).len();
        for cut in [first, first + 1, first + HEAD_BYTES, whole.len() - 1] {
            check(&whole[..cut], 3, &[1]);
        }
        for at in first..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            check(&torn, 3, &[1]);
        }
    }

    #[test]
    fn a_record_without_anything_optional_reads_back() {
        let record = line(plain(5, Micros(-1)).unwrap());
        let mut frame = encode(&record).unwrap();
        seal(&mut frame, u64::MAX);
        assert_eq!(decode(&frame[..]).unwrap(), (u64::MAX, vec![record]));
    }

    #[test]
    fn what_an_older_program_left_is_read() {
        let record = full(5, Micros(7)).unwrap();
        let mut frame = encode(&Line::Record(Box::new(record.clone()))).unwrap();
        assert!(frame[HEAD_BYTES..].starts_with(b"{\"id\":"));
        seal(&mut frame, 1);
        let lines = vec![Line::Record(Box::new(record))];
        assert_eq!(decode(&frame[..]).unwrap(), (1, lines));
    }
}
