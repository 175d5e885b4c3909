//! Showing how far pushes are, and the closing table.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::api::{Api, Crossing, Landing};
use super::folders::Folders;
use super::interrupt;
use super::naru::Naru;
use super::project::Project;

/// How long a push may take: the board is compiled in a container, after everything else.
const LIMIT: Duration = Duration::from_mins(30);

/// Follows a project's newest push until it serves; each landing is a line with the seconds since the push. Where
/// nothing new was pushed, it waits until what was there before is back: a rollback may have moved away from the push.
pub(super) fn until_live(api: &Api, naru: &Naru, project: &Project, newer: bool) -> Result<()> {
    let began = Instant::now();
    let mut shown: Vec<Landing> = Vec::new();
    loop {
        interrupt::check()?;
        let crossing = api.crossing(project.name)?;
        if !newer && answers(api, naru, &crossing) {
            println!("{} is back: {}", project.name, crossing.sentence);
            return Ok(());
        }
        for landing in crossing.landings.iter().filter(|landing| !shown.contains(landing)) {
            if landing.state != "waiting" {
                println!("{}", line(project, landing));
            }
        }
        shown.clone_from(&crossing.landings);
        if let Some(stopped) = crossing.landings.iter().find(|landing| landing.state == "failed") {
            let why = crossing.problem.map_or(crossing.sentence, |problem| problem.text());
            bail!("{} stopped at {}: {why}", project.name, stopped.name);
        }
        if !crossing.landings.is_empty()
            && crossing.landings.iter().all(settled)
            && answers(api, naru, &crossing)
        {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!("{} is not live after {} s: {}", project.name, LIMIT.as_secs(), crossing.sentence);
        }
        interrupt::pause(Duration::from_millis(200));
    }
}

/// Whether requests get through the edge: after a start with earlier data, services come back within seconds.
fn answers(api: &Api, naru: &Naru, crossing: &Crossing) -> bool {
    host(crossing)
        .and_then(|host| api.through_edge(naru.edge(), &host, "/"))
        .is_ok_and(|(status, _)| status == 200)
}

fn settled(landing: &Landing) -> bool {
    matches!(landing.state.as_str(), "done" | "skipped")
}

fn line(project: &Project, landing: &Landing) -> String {
    let sign = match landing.state.as_str() {
        "done" => "●",
        "moving" => "◐",
        "failed" => "■",
        _ => "○",
    };
    let about: Vec<&str> =
        [&landing.reference, &landing.detail].into_iter().flatten().map(String::as_str).collect();
    let seconds = project.seconds();
    format!(
        "{seconds:>7.1} s  {:<8} {sign} {:<8} {:<7} {}",
        project.name,
        landing.name,
        landing.state,
        about.join(", ")
    )
}

/// Host and port that a project's first URL names.
pub(super) fn host(crossing: &Crossing) -> Result<String> {
    let url = crossing.urls.first().context("the project has no address")?;
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    Ok(rest.split('/').next().unwrap_or(rest).to_owned())
}

/// What there is now, and what to try.
pub(super) fn table(api: &Api, naru: &Naru, folders: &Folders, projects: &[Project]) -> Result<String> {
    let mut text = String::from("\n");
    for project in projects {
        let crossing = api.crossing(project.name)?;
        let url = crossing.urls.first().map_or("", String::as_str);
        let _ = writeln!(text, "  {:<9} {url:<38} {}", project.name, crossing.sentence);
    }
    let landing = folders.work("landing");
    let host = host(&api.crossing("landing")?)?;
    let naru_command = naru.binary().display();
    let _ = writeln!(text, "  {:<9} {}", "API", api.base());
    let _ = write!(
        text,
        "
Browsers find names under localhost by themselves; other programs are told where it is:
  curl --header 'Host: {host}' http://{edge}/

Three things to try, in another terminal:
  edit and push    cd {landing} && sed -i 's/Push, and it runs/Hello/' index.html \\
                     && git commit --all --message 'Say hello' && git push naru main
  roll back        {naru_command} rollback --project landing --environment production
  follow logs      {naru_command} logs --follow --project board --environment production
The commands find this Naru after:
  export NARU_URL={base} NARU_TOKEN=\"$(cat {token})\"
",
        edge = naru.edge(),
        landing = landing.display(),
        base = api.base(),
        token = folders.file("token").display(),
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(urls: &[&str]) -> Crossing {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Crossing { sentence: String::new(), landings: Vec::new(), problem: None, urls }
    }

    #[test]
    fn the_host_is_read_from_the_first_address() {
        assert_eq!(
            host(&crossing(&["http://board.localhost:8080/", "http://other/"])).unwrap(),
            "board.localhost:8080"
        );
        assert_eq!(host(&crossing(&["http://board.localhost"])).unwrap(), "board.localhost");
        assert!(host(&crossing(&[])).is_err());
    }

    #[test]
    fn a_landing_is_passed_when_it_is_done_or_not_needed() {
        let landing = |state: &str| Landing {
            name: "image".to_owned(),
            state: state.to_owned(),
            reference: None,
            detail: None,
        };
        assert!(settled(&landing("done")) && settled(&landing("skipped")));
        assert!(
            !settled(&landing("moving")) && !settled(&landing("failed")) && !settled(&landing("waiting"))
        );
    }
}
