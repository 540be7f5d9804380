//! `/api/streams/{name}/controls`: a camera's controls, seen and set, as JSON.

use super::whep;
use crate::controls::{Device, Listing, SetError, View, Wish};
use crate::http::Context;
use crate::http::exchange::body::body;
use crate::http::exchange::respond::{self, Error, JSON, Reply};
use hyper::Request;
use hyper::body::Incoming;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a request waits for those before it. The kernel gives a USB camera 5 s to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a camera that is not there is worth another attempt.
const RETRY: Duration = Duration::from_secs(5);

/// What the stream's camera has. A stream without a camera has no controls.
pub async fn get(context: &Context, name: &str) -> Result<Reply, Error> {
    whep::find(context, Some(name))?;
    let Some(device) = context.controls.of(name) else {
        return Ok(respond::json(&View::default()));
    };
    let listing = ask(device, |device| device.list().map_err(SetError::Camera)).await?;
    Ok(respond::json(&View::new(&listing)))
}

/// Sets controls, all that are named or none; what there is then.
pub async fn put(
    context: &Context,
    name: &str,
    request: Request<Incoming>,
) -> Result<Reply, Error> {
    whep::find(context, Some(name))?;
    let text = body(request, JSON, &context.limits).await?;
    let wishes = wishes(&text)?;
    let Some(device) = context.controls.of(name) else {
        let detail = "the stream has no camera, and so no controls";
        return Err(Error::Unusable(detail.into()));
    };
    let listing = ask(device, move |device| device.set(&wishes)).await?;
    Ok(respond::json(&View::new(&listing)))
}

fn wishes(text: &str) -> Result<BTreeMap<String, Wish>, Error> {
    let values: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let example = "{\"brightness\":128}";
        Error::Malformed(format!(
            "the body must be values by name, such as {example}: {error}"
        ))
    })?;
    let (mut wishes, mut wrong) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in values {
        match Wish::of_json(&value) {
            Ok(wish) => drop(wishes.insert(name, wish)),
            Err(problem) => drop(wrong.insert(name, problem)),
        }
    }
    if wrong.is_empty() {
        Ok(wishes)
    } else {
        Err(Error::Values(wrong))
    }
}

/// Asks the camera beside the runtime's workers, when nobody else does.
async fn ask(
    device: &Arc<Device>,
    question: impl FnOnce(&Device) -> Result<Listing, SetError> + Send + 'static,
) -> Result<Listing, Error> {
    let silent = || Error::CameraDown("the camera does not answer".into(), RETRY);
    let turn = timeout(PATIENCE, device.turn.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err(silent());
    };
    let device = device.clone();
    let answer = spawn_blocking(move || {
        // Held until the camera has answered, even if the client has gone.
        let _turn = turn;
        question(&device)
    });
    answer
        .await
        .map_err(|_| silent())?
        .map_err(|error| match error {
            SetError::Camera(error) => Error::CameraDown(error.detail, RETRY),
            SetError::Wrong(values) => Error::Values(values),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_of_values_and_all_that_is_wrong_in_it_is_told() {
        let good = wishes(r#"{"a":1,"b":null,"c":true,"d":"Auto"}"#).unwrap();
        assert_eq!((good.len(), &good["b"]), (4, &Wish::Default));
        for bad in ["", "[]", "1", r#"{"a":}"#] {
            assert!(matches!(wishes(bad), Err(Error::Malformed(_))), "{bad}");
        }
        let Err(Error::Values(wrong)) = wishes(r#"{"a":1.5,"b":[],"c":2}"#) else {
            panic!("it was taken");
        };
        assert_eq!(wrong.keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
