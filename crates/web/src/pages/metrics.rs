//! What an environment used and answered: charts under each other with one time and one cursor, and the same as text and
//! as tables.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::ServiceName;
use naru_model::api::{EnvironmentMetrics, MetricRange, MetricSeries, RevisionAnswers};
use serde::Deserialize;

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::routes::{InEnvironment, environment};

use super::chart::{self, Chart, Line, Mark, Time, Unit};
use super::html::Html;
use super::language::words;
use super::shell::{EnvironmentTab, Link, Shell, environment_path};

words! {
    range: "Time range", "기간";
    hour: "1 hour", "1시간";
    six_hours: "6 hours", "6시간";
    day: "24 hours", "24시간";
    week: "7 days", "7일";
    month: "30 days", "30일";
    services: "Services", "서비스";
    all_services: "All services", "모든 서비스";
    charts: "Charts. Left and right arrow keys move the cursor.", "차트. 좌우 화살표 키로 커서를 움직여요.";
    cpu: "CPU cores", "CPU 코어";
    memory: "Memory", "메모리";
    network: "Network", "네트워크";
    requests: "Requests", "요청";
    errors: "Failed requests", "실패한 요청";
    latency: "Latency", "응답 시간";
    replicas: "Replicas", "복제본";
    received: "in", "수신";
    sent: "out", "송신";
    now: "now", "지금";
    summary(newest, highest, when): "{newest} at last, {highest} at most ({when})", "최근 {newest}, 최고 {highest} ({when})";
    unknown: "nothing is known of this time", "이 기간의 값이 없어요";
    switched(revision, when): "Revision {revision} got all requests, {when}", "리비전 {revision}이 모든 요청을 받기 시작함, {when}";
    switched_release(revision, release, when): "Revision {revision} (release {release}) got all requests, {when}", "리비전 {revision}(릴리스 {release})이 모든 요청을 받기 시작함, {when}";
    status(requests, failed, share): "{requests} requests came to an end, {failed} of them failed ({share} %).", "요청 {requests}건 중 {failed}건이 실패했어요({share} %).";
    quiet: "No request came to an end in this time.", "이 기간에 끝난 요청이 없어요.";
    answered: "Answers by revision", "리비전별 응답";
    revision: "Revision", "리비전";
    by_edge: "the edge itself", "엣지 자체";
    failed: "Failed", "실패";
    switches: "Revisions in this time", "이 기간의 리비전";
    as_table: "Highest values as a table", "최고값을 표로 보기";
    from: "From", "시작";
    nothing_yet: "Nothing ran here in this time", "이 기간에 실행된 것이 없어요";
    teach: "Figures are taken every 15 s from the first replica on. Deliver a release:", "첫 복제본이 뜨면 15초마다 지표를 모아요. 릴리스를 배포해 보세요:";
}

/// Rows of the table.
const PARTS: usize = 12;

/// Which figures. A range that does not exist is the usual one: an address that was mistyped still shows something.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Which {
    range: Option<String>,
    service: Option<String>,
}

impl Which {
    fn range(&self) -> MetricRange {
        let known = MetricRange::ALL.into_iter().find(|range| Some(range.as_str()) == self.range.as_deref());
        known.unwrap_or_default()
    }
}

/// A chart with its heading.
struct Figure {
    title: &'static str,
    summary: String,
    picture: Html,
}

#[derive(Template)]
#[template(path = "metrics.html")]
struct MetricsPage<'a> {
    shell: &'a Shell,
    w: Words,
    metrics: &'a EnvironmentMetrics,
    status: String,
    command: String,
    ranges: Vec<Link>,
    services: Vec<Link>,
    figures: Vec<Figure>,
    answers: Vec<Vec<String>>,
    switches: Vec<String>,
    table: Vec<Vec<String>>,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(which): InQuery<Which>,
) -> Result<Response> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let shell = shell.in_environment(&cx, &chosen, &key.environment, EnvironmentTab::Metrics).await?;
    let service = which.service.as_deref().filter(|text| !text.is_empty());
    let service = service.map(str::parse::<ServiceName>).transpose()?;
    let metrics = naru_observe::history(&cx.store, &key, which.range(), service.as_ref()).await?;
    let base = format!("{}/metrics", environment_path(&key.project, key.environment.as_str()));
    let words = Words(shell.language);
    let view = View { shell: &shell, w: words, metrics: &metrics };
    let page = MetricsPage {
        shell: &shell,
        w: words,
        metrics: &metrics,
        status: view.status(),
        command: format!("naru deploy -p {} -e {} --wait", key.project, key.environment),
        ranges: view.ranges(&base),
        services: view.services(&base),
        figures: if view.is_empty() { Vec::new() } else { view.figures() },
        answers: view.answers(),
        switches: view.switches(),
        table: view.table(),
    };
    Ok(shell.page(&page))
}

/// The figures in the words of the reader.
struct View<'a> {
    shell: &'a Shell,
    w: Words,
    metrics: &'a EnvironmentMetrics,
}

/// A chart as it is listed: title, unit, and its lines with class and name.
type Listed = (&'static str, Unit, Vec<Line>);

impl View<'_> {
    fn is_empty(&self) -> bool {
        let MetricSeries { replicas, requests_per_second, .. } = &self.metrics.series;
        replicas.iter().chain(requests_per_second).all(Option::is_none)
    }

    fn status(&self) -> String {
        let sum = |of: fn(&RevisionAnswers) -> u64| self.metrics.revisions.iter().map(of).sum::<u64>();
        let (requests, failed) = (sum(|one| one.requests), sum(|one| one.errors));
        match requests {
            0 => self.w.quiet().to_owned(),
            _ => self.w.status(requests, failed, share(failed, requests)),
        }
    }

    fn ranges(&self, base: &str) -> Vec<Link> {
        let name = |range| match range {
            MetricRange::Hour => self.w.hour(),
            MetricRange::SixHours => self.w.six_hours(),
            MetricRange::Day => self.w.day(),
            MetricRange::Week => self.w.week(),
            MetricRange::Month => self.w.month(),
        };
        let link = |range: MetricRange| Link {
            is_current: range == self.metrics.range,
            ..Link::new(address(base, range, self.metrics.service.as_ref()), name(range))
        };
        MetricRange::ALL.into_iter().map(link).collect()
    }

    /// Nothing when there is no choice.
    fn services(&self, base: &str) -> Vec<Link> {
        let chosen = self.metrics.service.as_ref();
        if self.metrics.services.len() < 2 && chosen.is_none() {
            return Vec::new();
        }
        let link = |service: Option<&ServiceName>| Link {
            is_current: service == chosen,
            ..Link::new(
                address(base, self.metrics.range, service),
                service.map_or(self.w.all_services(), ServiceName::as_str),
            )
        };
        std::iter::once(None).chain(self.metrics.services.iter().map(Some)).map(link).collect()
    }

    fn listed(&self) -> Vec<Listed> {
        let series = &self.metrics.series;
        let alone = |values: Vec<Option<f64>>| vec![Line { class: "", name: "", values }];
        let line = |class, name, values: &[Option<f64>]| Line { class, name, values: values.to_vec() };
        vec![
            (self.w.requests(), Unit::PerSecond, alone(series.requests_per_second.clone())),
            (self.w.errors(), Unit::PerSecond, alone(series.errors_per_second.clone())),
            (
                self.w.latency(),
                Unit::Millis,
                vec![
                    line("p50", "p50", &series.latency_p50_ms),
                    line("p95", "p95", &series.latency_p95_ms),
                    line("p99", "p99", &series.latency_p99_ms),
                ],
            ),
            (self.w.cpu(), Unit::Cores, alone(series.cpu_cores.clone())),
            (self.w.memory(), Unit::Bytes, alone(floats(&series.memory_bytes))),
            (
                self.w.network(),
                Unit::BytesPerSecond,
                vec![
                    line("", self.w.received(), &floats(&series.received_bytes_per_second)),
                    line("p95", self.w.sent(), &floats(&series.sent_bytes_per_second)),
                ],
            ),
            (self.w.replicas(), Unit::Count, alone(series.replicas.clone())),
        ]
    }

    fn figures(&self) -> Vec<Figure> {
        let time = self.time();
        let figure = |(title, unit, lines): Listed| {
            // Of several lines the last is told: the slowest requests, what was sent.
            let summary = lines.last().map_or_else(String::new, |line| self.summary(unit, line));
            let chart = Chart { summary: format!("{title}: {summary}"), unit, lines };
            Figure { title, summary, picture: chart::draw(&chart, &time) }
        };
        self.listed().into_iter().map(figure).collect()
    }

    fn summary(&self, unit: Unit, line: &Line) -> String {
        let (Some(newest), Some(highest)) =
            (line.values.iter().rev().flatten().next(), chart::highest(&line.values))
        else {
            return self.w.unknown().to_owned();
        };
        let at = line.values.iter().rposition(|value| *value == Some(highest)).unwrap_or_default();
        let when = self.shell.reader.ago(self.moment(at));
        let told = self.w.summary(unit.tell(*newest), unit.tell(highest), when);
        if line.name.is_empty() { told } else { format!("{} {told}", line.name) }
    }

    /// When a step began.
    fn moment(&self, step: usize) -> naru_model::Timestamp {
        let seconds = self.metrics.step_seconds * i64::try_from(step).unwrap_or_default();
        self.metrics.from + jiff::SignedDuration::from_secs(seconds)
    }

    fn time(&self) -> Time {
        let EnvironmentMetrics { from, until, .. } = *self.metrics;
        let span = until.duration_since(from);
        let ago = |share: i32| self.shell.reader.ago(from + span / share);
        let place =
            |at: naru_model::Timestamp| at.duration_since(from).as_secs_f64() / span.as_secs_f64().max(1.0);
        let marks = self.metrics.switches.iter().zip(self.switches()).map(|(switch, title)| Mark {
            place: place(switch.at),
            label: switch.revision.to_string(),
            title,
        });
        Time { ticks: [self.shell.reader.ago(from), ago(2), self.w.now().to_owned()], marks: marks.collect() }
    }

    fn switches(&self) -> Vec<String> {
        let told = |switch: &naru_model::api::TrafficSwitch| {
            let when = self.shell.reader.hour(switch.at);
            match switch.release {
                Some(release) => self.w.switched_release(switch.revision, release, when),
                None => self.w.switched(switch.revision, when),
            }
        };
        self.metrics.switches.iter().map(told).collect()
    }

    /// What came of requests, a row per revision.
    fn answers(&self) -> Vec<Vec<String>> {
        let row = |one: &RevisionAnswers| {
            let revision = one.revision.map_or_else(|| self.w.by_edge().to_owned(), |it| it.to_string());
            let failed = format!("{} ({} %)", one.errors, share(one.errors, one.requests));
            let latency = [one.latency_p50_ms, one.latency_p95_ms, one.latency_p99_ms].map(millis);
            [revision, one.requests.to_string(), failed].into_iter().chain(latency).collect()
        };
        self.metrics.revisions.iter().map(row).collect()
    }

    /// The highest values of each part of the time.
    fn table(&self) -> Vec<Vec<String>> {
        let listed = self.listed();
        let steps = self.metrics.series.replicas.len();
        let each = steps.div_ceil(PARTS).max(1);
        let row = |start: usize| {
            let cell = |unit: Unit, line: &Line| {
                let part = line.values.get(start..(start + each).min(steps)).unwrap_or_default();
                chart::highest(part).map_or("–".to_owned(), |value| unit.tell(value))
            };
            let cells = listed.iter().flat_map(|(_, unit, lines)| lines.iter().map(|line| cell(*unit, line)));
            std::iter::once(self.shell.reader.hour(self.moment(start))).chain(cells).collect()
        };
        (0..steps).step_by(each).map(row).collect()
    }
}

fn address(base: &str, range: MetricRange, service: Option<&ServiceName>) -> String {
    match service {
        Some(service) => format!("{base}?range={range}&service={service}"),
        None => format!("{base}?range={range}"),
    }
}

fn floats(values: &[Option<u64>]) -> Vec<Option<f64>> {
    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    let float = |value: u64| value as f64;
    values.iter().map(|value| value.map(float)).collect()
}

/// In percent, with two digits.
fn share(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A time in milliseconds, or that there is none.
fn millis(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| Unit::Millis.tell(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_in_percent() {
        assert_eq!(
            (share(0, 0), share(3, 4_000), share(1, 1)),
            ("0.00".into(), "0.07".into(), "100.00".into())
        );
    }

    #[test]
    fn a_range_that_does_not_exist_is_an_hour() {
        let range = |text: &str| Which { range: Some(text.to_owned()), service: None }.range();
        assert_eq!(
            (range("7d"), range("1y"), range("<b>")),
            (MetricRange::Week, MetricRange::Hour, MetricRange::Hour)
        );
    }
}
