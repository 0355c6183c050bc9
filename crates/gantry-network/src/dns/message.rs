//! The shape of responses: their size and the order of their records.

use super::handler::Answer;
use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{
    Edns, EmitAndCount, MessageType, Metadata, OpCode, ResponseCode, emit_message_parts,
};
use hickory_server::proto::rr::Record;
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::zone_handler::Queries;
use rand::Rng;

/// What a client takes that does not say: RFC 1035.
pub(super) const PLAIN: u16 = 512;
/// An OPT record without options.
const OPT: u16 = 11;
const HEADER: usize = 12;

/// Puts addresses into an order of chance, so that clients that take the first spread over all. Other records stay
/// where they are: the order of aliases matters.
pub(super) fn shuffle(records: &mut [Record]) {
    let is_address = |r: &Record| r.record_type().is_ip_addr();
    let places: Vec<usize> = (0..records.len()).filter(|i| is_address(&records[*i])).collect();
    let mut rng = rand::rng();
    for i in (1..places.len()).rev() {
        records.swap(places[i], places[rng.random_range(0..=i)]);
    }
}

/// Leaves out what would make the message larger than `limit`, and says so in it. The OPT record stays in any case,
/// as RFC 6891 wants it; hickory would leave out that first, and leave half a record behind the message.
pub(super) fn fit(answer: &mut Answer, queries: &Queries, edns: Option<&Edns>, limit: u16) {
    let mut bytes = Vec::with_capacity(usize::from(PLAIN));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit - if edns.is_some() { OPT } else { 0 });
    let encoded = emit_message_parts(
        &Metadata::new(0, MessageType::Response, OpCode::Query),
        &mut Asked(queries),
        &mut answer.answers.iter(),
        &mut answer.authorities.iter(),
        &mut answer.additionals.iter(),
        None,
        None,
        &mut encoder,
    );
    match encoded {
        Ok(header) => {
            answer.truncated |= header.metadata.truncation;
            answer.answers.truncate(header.counts.answers.into());
            answer.authorities.truncate(header.counts.authorities.into());
            answer.additionals.truncate(header.counts.additionals.into());
        }
        Err(error) => {
            tracing::debug!("an answer cannot be written: {error}");
            *answer = Answer {
                code: ResponseCode::ServFail,
                ..Answer::default()
            };
        }
    }
}

/// The queries of a request as hickory repeats them: byte for byte. Names that follow do not point into them.
struct Asked<'a>(&'a Queries);

impl EmitAndCount for Asked<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        encoder.emit_vec(self.0.as_bytes())?;
        Ok(self.0.len())
    }
}

/// The response to a message that cannot be read: its own header with the code for that. `None` where none is due.
pub(super) fn format_error(request: &[u8]) -> Option<Vec<u8>> {
    let header: &[u8; HEADER] = request.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    if is_response {
        return None;
    }
    let mut response = vec![0; HEADER];
    response[..2].copy_from_slice(&header[..2]);
    // The opcode and whether recursion was asked for stay.
    response[2] = header[2] & 0x79 | 0x80;
    response[3] = 0x80 | FORMAT_ERROR;
    Some(response)
}

const FORMAT_ERROR: u8 = 1;

/// Whether a message asks exactly one question, as far as its header tells. Others are not worth reading.
pub(super) fn asks_once(request: &[u8]) -> bool {
    request.get(4..6) == Some(&[0, 1])
}
