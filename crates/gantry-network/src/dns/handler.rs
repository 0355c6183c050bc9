//! From a request to its response: what is refused, what is the cluster's, what is passed on.

use super::forward::{ForwardError, Forwarder, Question};
use super::model::Model;
use super::zone::{self, Found, Zone};
use super::{message, reverse};
use async_trait::async_trait;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{
    Edns, Header, HeaderCounts, LowerQuery, MessageType, Metadata, OpCode, ResponseCode,
};
use hickory_server::proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;

/// Datagrams larger than this are not sent, whatever the client can take.
const PAYLOAD: u16 = 4096;

/// Answers requests.
pub(super) struct Handler {
    pub(super) zone: Zone,
    pub(super) model: Arc<RwLock<Model>>,
    /// Whether the model is whole.
    pub(super) synced: watch::Receiver<bool>,
    /// The addresses of services and pods.
    pub(super) ranges: Vec<IpNet>,
    pub(super) forwarder: Arc<Forwarder>,
}

/// What a response says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) authentic: bool,
    pub(super) truncated: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Answer {
    fn error(code: ResponseCode) -> Self {
        Answer {
            code,
            ..Answer::default()
        }
    }

    /// No such name, or a name without such records.
    fn denial(code: ResponseCode, soa: Record) -> Self {
        Answer {
            authoritative: true,
            authorities: vec![soa],
            ..Answer::error(code)
        }
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let mut answer = match admissible(request) {
            Ok(query) => {
                let edns = request.edns.as_ref();
                let dnssec = edns.is_some_and(|e| e.flags().dnssec_ok);
                self.answer(query, dnssec, request.metadata.checking_disabled)
                    .await
            }
            Err(code) => Answer::error(code),
        };
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().min(PAYLOAD))
                .set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let limit = match (request.protocol(), &edns) {
            (Protocol::Udp, Some(edns)) => edns.max_payload(),
            (Protocol::Udp, None) => message::PLAIN,
            _ => u16::MAX,
        };
        message::fit(&mut answer, &request.queries, edns.as_ref(), limit);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code;
        metadata.authoritative = answer.authoritative;
        metadata.authentic_data = answer.authentic;
        metadata.recursion_available = true;
        metadata.truncation = answer.truncated;
        let response = MessageResponseBuilder::new(&request.queries, edns.as_ref()).build(
            metadata,
            &answer.answers,
            &answer.authorities,
            [],
            &answer.additionals,
        );
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!("{} gets no response: {error}", request.src());
                let mut metadata = Metadata::new(
                    request.metadata.id,
                    MessageType::Response,
                    request.metadata.op_code,
                );
                metadata.response_code = ResponseCode::ServFail;
                Header {
                    metadata,
                    counts: HeaderCounts::default(),
                }
                .into()
            }
        }
    }
}

/// The query of a request that asks one, of a kind that we answer.
fn admissible(request: &Request) -> Result<&LowerQuery, ResponseCode> {
    if request.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    let [query] = request.queries.queries() else {
        return Err(ResponseCode::FormErr);
    };
    if request.version() != 0 {
        return Err(ResponseCode::BADVERS);
    }
    let transfer = matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
    if transfer || query.query_class() != DNSClass::IN {
        return Err(ResponseCode::Refused);
    }
    Ok(query)
}

impl Handler {
    /// The answer to a query of class IN.
    pub(super) async fn answer(&self, query: &LowerQuery, dnssec: bool, unchecked: bool) -> Answer {
        let (name, type_) = (query.original().name(), query.query_type());
        let question = Question {
            name: query.name().clone(),
            type_,
            dnssec,
            unchecked,
        };
        let mut answer = if let Some(below) = self.zone.labels_below(name) {
            self.of_cluster(name, &below, &question).await
        } else if let Some(ip) = reverse::address(name) {
            self.of_address(name, ip, &question).await
        } else {
            self.forwarded(&question).await
        };
        message::shuffle(&mut answer.answers);
        answer
    }

    fn read(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    async fn of_cluster(&self, name: &Name, below: &[String], question: &Question) -> Answer {
        // Half a model would deny names that are there, and resolvers keep denials.
        if !self.is_synced() {
            return Answer::error(ResponseCode::ServFail);
        }
        let (found, soa) = {
            let model = self.read();
            (
                self.zone.look_up(&model, name, below, question.type_),
                self.zone.soa(model.serial()),
            )
        };
        let Found {
            exists,
            mut answers,
            additionals,
            target,
        } = found;
        if !exists {
            return Answer::denial(ResponseCode::NXDomain, soa);
        }
        let mut truncated = false;
        if let Some(target) = target {
            let question = Question {
                name: (&target).into(),
                ..question.clone()
            };
            match self.forwarder.resolve(&question).await {
                // Without addresses the alias alone is the answer, as CoreDNS gives it.
                Ok(reply) if matches!(reply.code, ResponseCode::NoError | ResponseCode::NXDomain) => {
                    truncated = reply.truncated;
                    answers.extend(reply.answers);
                }
                Ok(_) => return Answer::error(ResponseCode::ServFail),
                Err(error) => return self.not_forwarded(&question, &error),
            }
        }
        if answers.is_empty() {
            return Answer::denial(ResponseCode::NoError, soa);
        }
        Answer {
            authoritative: true,
            truncated,
            answers,
            additionals,
            ..Answer::default()
        }
    }

    async fn of_address(&self, name: &Name, ip: IpAddr, question: &Question) -> Answer {
        let range = self.ranges.iter().find(|r| r.contains(&ip));
        if range.is_some() && !self.is_synced() {
            return Answer::error(ResponseCode::ServFail);
        }
        let apex = range.and_then(reverse::zone);
        let (answers, serial) = {
            let model = self.read();
            let wanted = question.type_ == RecordType::PTR;
            (
                if wanted {
                    self.zone.pointers(&model, name, ip)
                } else {
                    Vec::new()
                },
                model.serial(),
            )
        };
        if !answers.is_empty() {
            return Answer {
                authoritative: true,
                answers,
                ..Answer::default()
            };
        }
        match (self.forwarder.resolve(question).await, apex) {
            (Ok(reply), _) => reply.into(),
            // Nobody else can know an address of the cluster: software that looks up its peers gets a clear no.
            (Err(ForwardError::NoServer | ForwardError::Silent), Some(apex)) => {
                Answer::denial(ResponseCode::NXDomain, zone::soa(&apex, serial))
            }
            (Err(error), _) => self.not_forwarded(question, &error),
        }
    }

    async fn forwarded(&self, question: &Question) -> Answer {
        match self.forwarder.resolve(question).await {
            Ok(reply) => reply.into(),
            Err(error) => self.not_forwarded(question, &error),
        }
    }

    fn not_forwarded(&self, question: &Question, error: &ForwardError) -> Answer {
        tracing::debug!("{} is not answered: {error}", question.name);
        Answer::error(match error {
            ForwardError::Busy => ResponseCode::Refused,
            ForwardError::NoServer | ForwardError::Silent => ResponseCode::ServFail,
        })
    }
}

impl From<super::forward::Reply> for Answer {
    fn from(reply: super::forward::Reply) -> Self {
        Answer {
            code: reply.code,
            authoritative: false,
            authentic: reply.authentic,
            truncated: reply.truncated,
            answers: reply.answers,
            authorities: reply.authorities,
            additionals: reply.additionals,
        }
    }
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
