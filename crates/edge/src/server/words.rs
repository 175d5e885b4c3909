//! What the edge's own answers say, in English and Korean.

use super::head::Refusal;
use super::page::{Failure, Language};

pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) sentence: &'static str,
}

pub(super) fn words(failure: Failure, language: Language) -> Words {
    let (english, korean) = match failure {
        Failure::Refused(Refusal::Malformed(what)) => {
            (("Bad request", what), ("잘못된 요청", "요청의 형식이 올바르지 않아요."))
        }
        Failure::Refused(Refusal::Method) => (
            ("Method not allowed", "This method is not carried here."),
            ("허용되지 않는 메서드", "이 메서드는 전달하지 않아요."),
        ),
        Failure::HeadTooLarge => (
            ("Request head too large", "The headers of this request are larger than what is accepted."),
            ("너무 큰 요청 머리", "요청 헤더가 허용된 크기보다 커요."),
        ),
        Failure::BodyStalled => (
            ("Request timed out", "The rest of the request did not arrive in time."),
            ("요청 시간 초과", "요청의 나머지가 제때 도착하지 않았어요."),
        ),
        Failure::BodyBroken => (
            ("Bad request", "The body of the request broke off."),
            ("잘못된 요청", "요청 본문이 중간에 끊겼어요."),
        ),
        Failure::BodyTooLarge => (
            ("Request too large", "The body of this request is larger than what is accepted here."),
            ("너무 큰 요청", "요청 본문이 여기에서 허용된 크기보다 커요."),
        ),
        Failure::TooOften(_) => (
            ("Too many requests", "You have sent many requests in a short time. Please wait a little."),
            ("요청이 너무 많음", "짧은 시간에 많은 요청을 보냈어요. 잠시 기다려 주세요."),
        ),
        Failure::NoRoute => (
            ("Nothing here", "No service answers at this address."),
            ("찾을 수 없음", "이 주소에서 응답하는 서비스가 없어요."),
        ),
        Failure::Unreachable => (
            ("Service unreachable", "The service did not accept the connection. It may be restarting."),
            ("연결할 수 없는 서비스", "서비스가 연결을 받지 않았어요. 다시 시작하는 중일 수 있어요."),
        ),
        Failure::BrokeOff => (
            ("Service broke off", "The service closed the connection before it answered."),
            ("끊긴 연결", "서비스가 응답하기 전에 연결을 끊었어요."),
        ),
        Failure::Nonsense => (
            ("Unusable answer", "The service answered with something that is not HTTP."),
            ("사용할 수 없는 응답", "서비스의 응답이 HTTP 형식이 아니에요."),
        ),
        Failure::NoReplica => (
            (
                "No replica is ready",
                "The service has no running replica right now. It may be back in a moment.",
            ),
            ("준비된 복제본 없음", "지금 실행 중인 복제본이 없어요. 곧 다시 열릴 수 있어요."),
        ),
        Failure::Maintenance => (
            ("Under maintenance", "The service was closed for maintenance by those who run it."),
            ("점검 중", "운영자가 점검을 위해 서비스를 잠시 닫았어요."),
        ),
        Failure::HoldFull => (
            ("Too many requests are waiting", "The service is being replaced, and its queue is full."),
            ("대기 중인 요청이 많음", "서비스를 교체하는 중인데 대기열이 가득 찼어요."),
        ),
        Failure::HoldOver => (
            (
                "Still being replaced",
                "The service is being replaced, and it took longer than requests can wait.",
            ),
            ("아직 교체 중", "서비스 교체가 요청이 기다릴 수 있는 시간보다 오래 걸리고 있어요."),
        ),
        Failure::TooSlow => (
            ("No answer in time", "The service did not answer in time."),
            ("응답 시간 초과", "서비스가 제때 응답하지 않았어요."),
        ),
    };
    let (title, sentence) = if language == Language::Korean { korean } else { english };
    Words { title, sentence }
}
