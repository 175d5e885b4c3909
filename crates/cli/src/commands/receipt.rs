//! Receipts of rollouts.

use naru_model::api::{self, Page, ReceiptKeys, SignedReceipt, VerifiedReceipt};
use naru_model::receipt::{Envelope, Verdict};
use naru_model::rollout::Phase;
use naru_model::{Problem, RevisionNumber};

use crate::arguments::delivery::Receipt;
use crate::commands::delivery::There;
use crate::exit::{CliError, FAILED, MISSING, Result};
use crate::place;
use crate::screen::{Screen, Tone};

pub(crate) async fn receipt(command: Receipt, screen: &mut Screen) -> Result<()> {
    match command {
        Receipt::Show { number, place } => {
            let there = There::find(screen, &place)?;
            let number = match number {
                Some(number) => number,
                None => newest(&there).await?,
            };
            let path = format!("{}/revisions/{number}/receipt", there.path());
            let answer = there.client.get::<SignedReceipt>(&path).await?;
            screen.show(&answer, |screen, signed| draw(screen, &signed.receipt));
        }
        Receipt::Verify => {
            let text = screen.outside.text().map_err(|problem| CliError::new(FAILED, problem))?;
            let client = place::client(&screen.outside)?;
            let answer = client.post::<VerifiedReceipt>("/api/v1/receipts/verify", &envelope(&text)?).await?;
            screen.show(&answer, |screen, verified| {
                let state = screen.state(Tone::Good, "authentic");
                screen.line(format!("{state}: signed with key {}", verified.key));
                draw(screen, &verified.receipt);
            });
        }
        Receipt::Keys => {
            let client = place::client(&screen.outside)?;
            let answer = client.get::<ReceiptKeys>("/api/v1/receipt-keys").await?;
            screen.show(&answer, |screen, keys| {
                let rows: Vec<_> =
                    keys.keys.iter().map(|key| vec![key.id.clone(), key.key.clone()]).collect();
                screen.table(&["key", "ed25519 public key"], &rows, "there is no key");
            });
        }
    }
    Ok(())
}

/// The newest revision whose rollout has ended.
async fn newest(there: &There) -> Result<RevisionNumber> {
    let path = format!("{}/revisions?limit=50", there.path());
    let revisions = there.client.get::<Page<api::Revision>>(&path).await?.view;
    let ended = |revision: &&api::Revision| {
        !matches!(revision.rollout, api::RolloutState::Waiting | api::RolloutState::Moving)
    };
    revisions.items.iter().find(ended).map(|revision| revision.number).ok_or_else(|| {
        let problem = Problem::new("cli.no-receipt", "no rollout has ended there yet")
            .hint("see how far it is:")
            .command(format!("naru status --project {} --environment {}", there.project, there.environment));
        CliError::new(MISSING, problem)
    })
}

/// The signed document, alone or within what `receipt show --json` prints.
fn envelope(text: &str) -> Result<Envelope> {
    #[derive(serde::Deserialize)]
    struct Shown {
        envelope: Envelope,
    }
    let read = serde_json::from_str::<Shown>(text)
        .map(|shown| shown.envelope)
        .or_else(|_| serde_json::from_str::<Envelope>(text));
    read.map_err(|error| {
        let problem = Problem::new("cli.input", "this is no receipt")
            .cause(error.to_string())
            .hint("give what this prints:")
            .command("naru receipt show --json");
        CliError::new(FAILED, problem)
    })
}

/// A phase as the API names it.
fn name_of(phase: Phase) -> String {
    let name = serde_json::to_value(phase).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn draw(screen: &mut Screen, receipt: &naru_model::receipt::Receipt) {
    let (tone, word) = match receipt.verdict {
        Verdict::Promoted => (Tone::Good, "promoted"),
        Verdict::Aborted => (Tone::Failed, "aborted"),
        Verdict::Overtaken => (Tone::Quiet, "overtaken"),
    };
    let verdict = screen.state(tone, word);
    let (began, ended) = (screen.time(receipt.started_at), screen.time(receipt.finished_at));
    let previous = receipt.previous.map_or("nothing".to_owned(), |previous| format!("revision {previous}"));
    screen.pairs(&[
        (
            "rollout",
            Some(format!(
                "{} / {}: {previous} → revision {}",
                receipt.project, receipt.environment, receipt.revision
            )),
        ),
        ("verdict", Some(format!("{verdict}: {}", receipt.reason))),
        ("release", receipt.release.map(|release| release.to_string())),
        ("commit", Some(receipt.commit.to_string())),
        ("who", Some(receipt.author.clone())),
        ("began", Some(began)),
        ("ended", Some(ended)),
    ]);
    screen.line("");
    let rows: Vec<_> = receipt
        .phases
        .iter()
        .map(|phase| {
            let took = std::time::Duration::from_millis(phase.milliseconds).as_secs_f64();
            vec![name_of(phase.phase), format!("{took:.1} s"), phase.observed.clone()]
        })
        .collect();
    screen.table(&["phase", "took", "observed"], &rows, "it ended before its first phase");
    screen.line("");
    let rows: Vec<_> = receipt
        .traffic
        .iter()
        .map(|served| {
            vec![
                served.revision.to_string(),
                served.requests.to_string(),
                served.failed.to_string(),
                served.drained.to_string(),
                served.broken_off.to_string(),
            ]
        })
        .collect();
    let head = ["revision", "requests", "failed", "drained", "broken off"];
    screen.table(&head, &rows, "nobody asked anything meanwhile");
    if !receipt.is_counted_whole {
        screen.note("the edge was replaced meanwhile: what it had counted before is missing here");
    }
}
