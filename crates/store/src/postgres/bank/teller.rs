//! The one task that asks the bank: all that wait go in one transaction, so that its way to the server, its turn and its sync are
//! shared. Beside the one that writes records, so that a long spool holds no rights up.

use super::perform;
use crate::StoreError;
use crate::bank::{About, Answer};
use crate::postgres::connect::Pool;
use crate::postgres::ledger::page::Turn;
use crate::postgres::{BANK_WAIT_MS_MAX, STATEMENT_WAIT_MS_MAX};
use deadpool_postgres::Object;
use madang_types::Micros;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Questions of one transaction.
const BATCH_QUESTIONS_MAX: usize = 64;

/// What is asked, when, and who waits for the answer.
pub(crate) struct Question {
    pub about: About,
    pub at: Micros,
    pub reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// The task's own.
pub(crate) struct Teller {
    pub pool: Pool,
}

impl Teller {
    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Question>) {
        let mut questions = Vec::with_capacity(BATCH_QUESTIONS_MAX);
        while queue.recv_many(&mut questions, BATCH_QUESTIONS_MAX).await > 0 {
            let asked = std::mem::take(&mut questions);
            let (about, replies): (Vec<_>, Vec<_>) = asked
                .into_iter()
                .map(|Question { about, at, reply }| ((about, at), reply))
                .unzip();
            let about = Arc::new(about);
            let wait_max = wait_max(&about);
            let served = self
                .pool
                .within(wait_max, |client| Box::pin(serve(client, about)))
                .await;
            let answers = match served {
                Ok(answers) => answers,
                Err(error) => replies.iter().map(|_| Err(error.clone())).collect(),
            };
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Nobody waits where the caller has left; what was done stands all the same.
                drop(reply.send(answer));
            }
        }
    }
}

/// Orders are asked again in a second. Whoever starts is not, and other gateways that fall silent in their turn hold it up.
fn wait_max(questions: &[(About, Micros)]) -> Duration {
    let mut abouts = questions.iter().map(|(about, _)| about);
    let starts = abouts.any(|about| matches!(about, About::RunBegin(_)));
    Duration::from_millis(if starts {
        STATEMENT_WAIT_MS_MAX
    } else {
        BANK_WAIT_MS_MAX
    })
}

/// All of them in one transaction. What one lacks is its own error; `Err` means that nothing was kept.
async fn serve(
    client: &mut Object,
    questions: Arc<Vec<(About, Micros)>>,
) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
    let mut turn = Turn::begin(client).await?;
    let mut answers = Vec::with_capacity(questions.len());
    for (about, at) in questions.iter() {
        match perform(&mut turn, (about, *at)).await {
            // The server has ended the transaction, or an entry may stand in halves.
            Err(error @ (StoreError::Unavailable(_) | StoreError::Damaged(_))) => {
                return Err(error);
            }
            answer => answers.push(answer),
        }
    }
    turn.commit().await.map(|()| answers)
}
