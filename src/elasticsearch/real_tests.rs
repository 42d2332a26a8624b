//! The client, and the stand-in's judgement, against a real Elasticsearch, when `LOGMILL_TEST_ES` holds its URL.

use super::*;

fn client(level: u32) -> Option<Client> {
    let Ok(url) = std::env::var("LOGMILL_TEST_ES") else {
        eprintln!("skipped: LOGMILL_TEST_ES is not set");
        return None;
    };
    let config = ClientConfig {
        hosts: vec![url],
        compression_level: level,
        ..ClientConfig::default()
    };
    Some(Client::new(&config).unwrap())
}

fn index(name: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    format!("logmill-test-{name}-{}", now.as_nanos())
}

#[tokio::test]
async fn bulks_are_stored_and_refusals_told() {
    for level in [0, 1] {
        let Some(client) = client(level) else { return };
        let info = client.connect_and_check().await.unwrap();
        assert!(info.genuine && info.major >= 7, "{info:?}");
        let name = index("bulk");
        assert_eq!(
            client.send_bulk(&body(&name, 0, 500)).await,
            BulkResult::AllOk
        );
        let BulkResult::Items(items) = client.send_bulk(&body(&name, 499, 2)).await else {
            panic!("a conflict expected")
        };
        let outcomes: Vec<_> = items
            .iter()
            .map(|item| classify(item, &Policy::default()))
            .collect();
        assert_eq!(outcomes, [Outcome::Conflict, Outcome::Done]);
        let mut text = raw(&body(&name, 900, 1));
        text.extend_from_slice(
            format!("{{\"index\":{{\"_index\":\"{name}\"}}}}\n{{\"n\":\"no number\"}}\n")
                .as_bytes(),
        );
        let BulkResult::Items(items) = client.send_bulk(&BulkBody::plain(text, 2)).await else {
            panic!("a refusal expected")
        };
        assert_eq!(classify(&items[0], &Policy::default()), Outcome::Done);
        assert!(
            matches!(classify(&items[1], &Policy::default()), Outcome::Refused(_)),
            "{items:?}"
        );
        client
            .request(Method::POST, &format!("/{name}/_refresh"), None, JSON)
            .await
            .unwrap();
        let count = client
            .request(Method::GET, &format!("/{name}/_count"), None, JSON)
            .await
            .unwrap();
        assert!(
            String::from_utf8_lossy(&count.body).contains("\"count\":502"),
            "{count:?}"
        );
        client
            .request(Method::DELETE, &format!("/{name}"), None, JSON)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn templates_are_installed_once() {
    let Some(client) = client(1) else { return };
    let info = client.connect_and_check().await.unwrap();
    let name = index("template");
    let text = format!(
        r#"{{"index_patterns":["{name}-*"],"priority":7,"template":{{"settings":{{"number_of_replicas":0}}}}}}"#
    );
    let mut template = Template {
        name: name.clone(),
        body: text.into(),
        overwrite: false,
        api: TemplateApi::Auto,
    };
    assert_eq!(
        client.install_template(&template, &info).await,
        Ok(TemplateOutcome::Installed)
    );
    assert_eq!(
        client.install_template(&template, &info).await,
        Ok(TemplateOutcome::AlreadyThere)
    );
    template.overwrite = true;
    template.body = Bytes::from(format!(
        r#"{{"index_patterns":["{name}-*"],"template":{{"settings":{{"nonsense":true}}}}}}"#
    ));
    let refused = client.install_template(&template, &info).await.unwrap_err();
    assert!(
        refused.is_fatal() && refused.to_string().contains("nonsense"),
        "{refused}"
    );
    client
        .request(
            Method::DELETE,
            &format!("/_index_template/{name}"),
            None,
            JSON,
        )
        .await
        .unwrap();
}

/// The stand-in must judge a bulk as the real one does.
#[tokio::test]
async fn the_stand_in_agrees() {
    let Some(client) = client(0) else { return };
    let sink = start(SinkOptions {
        ids: true,
        ..SinkOptions::default()
    })
    .await;
    let name = index("agree");
    let action = |index: &str| format!("{{\"index\":{{\"_index\":\"{index}\"}}}}\n");
    let documents = [
        "{\"a\":1}",
        "{}",
        "[1]",
        "\"x\"",
        "",
        "{\"a\":1,\"a\":2}",
        "{\"o\":{\"b\":1,\"b\":2}}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"\":1}",
        "{\".\":1}",
        "{\".b\":1}",
        "{\"c.\":1}",
        "{\"d..e\":1}",
        "{\"_id\":1}",
        "{\"p\":{\"_id\":1}}",
        "{\"t\":\"\\ud800\"}",
        "{\"a\":1} x",
        "{\"a\":1}{}",
        " {\"a\": 1 } ",
        "{\"t\":\"tab\there\"}",
        "{\"a\":1\r}",
        "{'a':1}",
        "{\"a\":+1}",
    ];
    let mut text = String::new();
    for document in documents {
        text.push_str(&action(&name));
        text.push_str(document);
        text.push('\n');
    }
    for illegal in ["Upper", "_under", "a b", "a#b", ".."] {
        text.push_str(&action(illegal));
        text.push_str("{\"a\":1}\n");
    }
    let items = u32::try_from(documents.len() + 5).unwrap();
    let bulk = BulkBody::plain(text.into_bytes(), items);
    let (real, ours) = (
        client.send_bulk(&bulk).await,
        sink.client().send_bulk(&bulk).await,
    );
    let (BulkResult::Items(real), BulkResult::Items(ours)) = (real, ours) else {
        panic!("items expected")
    };
    for (at, (real, ours)) in real.iter().zip(&ours).enumerate() {
        assert_eq!(
            ours.status,
            real.status,
            "item {at}: {:?}: {real} / {ours}",
            documents.get(at)
        );
    }
    client
        .request(Method::DELETE, &format!("/{name}"), None, JSON)
        .await
        .unwrap();
}
