//! A Keystone that does not answer, or not as it has to, is 503.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::fake::later;
use super::*;

#[actix_rt::test]
async fn a_keystone_that_is_down_is_503_and_tokens_that_it_validated_work() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let keystone = Keystone::start(options(address), &Arbiter::current()).unwrap();
    let site = Site {
        fake: Arc::new(Fake::default()),
        keystone: Arc::new(keystone),
    };
    let operator = site.fails("token-1").await;
    assert!(
        operator.contains(&format!("Keystone at http://{address}/v3 does not answer")),
        "{operator}"
    );

    let site = Site::new();
    site.fake.allow("token-1", json!({}));
    assert!(site.accepts("token-1").await);
    site.fake
        .behave(Behaviour::Answers(500, "<html>".to_owned(), vec![]));
    let operator = site.fails("token-2").await;
    assert_eq!(
        operator,
        "Keystone answered the validation of a token with HTTP 500"
    );
    assert!(site.accepts("token-1").await);
    site.fake.behave(Behaviour::Right);
    // What was not answered is not kept.
    site.fake.allow("token-2", json!({}));
    assert!(site.accepts("token-2").await);
}

#[actix_rt::test]
async fn a_slow_keystone_is_503_in_time() {
    let site = Site::with(|options| KeystoneOptions {
        timeout: Duration::from_millis(300),
        ..options
    });
    site.fake.allow("token-1", json!({}));
    assert!(site.accepts("token-1").await);
    site.fake.behave(Behaviour::Waits);
    // More than may be asked at once.
    let tokens: Vec<String> = (2..50).map(|number| format!("token-{number}")).collect();
    let asking = tokens.iter().map(|token| site.fails(token));
    for operator in futures_util::future::join_all(asking).await {
        assert!(
            operator.contains("300ms") || operator.contains("does not answer"),
            "{operator}"
        );
    }
    assert!(site.accepts("token-1").await);
    site.fake.behave(Behaviour::Right);
    assert!(!site.accepts("token-2").await);
}

#[actix_rt::test]
async fn an_answer_that_is_not_understood_is_503_and_is_not_kept() {
    let site = Site::new();
    let token =
        json!({"token": {"user": {"id": "u"}, "expires_at": later(60), "roles": [{"name": "admin"}]}})
            .to_string();
    let subject = |text: &str| vec![("X-Subject-Token", text.to_owned())];
    let huge = format!("{{\"token\": \"{}\"}}", "x".repeat(2 << 20));
    for (status, body, headers, operator) in [
        (200, "<html>".to_owned(), vec![], "no token, line 1"),
        (200, "{\"token\": {}}".to_owned(), vec![], "no token, line 1"),
        (200, String::new(), vec![], "no token, line 1"),
        (
            200,
            token.clone(),
            subject("of-another"),
            "it is about another token",
        ),
        (200, huge, vec![], "more than 1048576 bytes"),
        (201, token.clone(), vec![], "HTTP 201"),
        (
            302,
            String::new(),
            vec![("Location", "/v3/elsewhere".to_owned())],
            "HTTP 302",
        ),
        (300, "{}".to_owned(), vec![], "HTTP 300"),
        (400, String::new(), vec![], "HTTP 400"),
        (403, String::new(), vec![], "give it the role service or admin"),
        (429, String::new(), vec![], "HTTP 429"),
        (503, String::new(), vec![], "HTTP 503"),
    ] {
        site.fake.behave(Behaviour::Answers(status, body, headers));
        let reported = site.fails("token-1").await;
        assert!(reported.contains(operator), "{status}: {reported}");
    }
    assert!(
        !site
            .fake
            .requests
            .lock()
            .iter()
            .any(|request| request.contains("elsewhere"))
    );
    site.fake
        .behave(Behaviour::Answers(200, token, subject("token-1")));
    assert!(site.accepts("token-1").await);
}

#[actix_rt::test]
async fn a_server_that_does_not_speak_http_is_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    actix_rt::spawn(async move {
        let lines = [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{",
            "",
        ];
        for line in lines.iter().cycle() {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(line.as_bytes()).await;
        }
    });
    let keystone = Keystone::start(options(address), &Arbiter::current()).unwrap();
    let site = Site {
        fake: Arc::new(Fake::default()),
        keystone: Arc::new(keystone),
    };
    for _ in 0..3 {
        site.fails("token-1").await;
    }
}

#[actix_rt::test]
async fn the_service_logs_in_again_when_its_token_is_refused_or_about_to_expire() {
    let site = Site::new();
    assert!(!site.accepts("token-1").await);
    site.fake.own.lock()[0] = "revoked".to_owned();
    assert!(!site.accepts("token-2").await);
    assert_eq!((site.fake.logins(), site.fake.validations()), (2, 3));
    // Refused twice: it is not the token.
    site.fake.behave(Behaviour::Answers(401, String::new(), vec![]));
    assert_eq!(
        site.fails("token-3").await,
        "Keystone answered the validation of a token with HTTP 401"
    );
    assert_eq!(site.fake.logins(), 3);

    let site = Site::new();
    *site.fake.own_lifetime.lock() = Some(0);
    assert!(!site.accepts("token-1").await);
    assert!(!site.accepts("token-2").await);
    assert_eq!(site.fake.logins(), 2);
}

#[actix_rt::test]
async fn a_refused_login_is_503_and_is_not_repeated_at_once() {
    let site = Site::new();
    site.fake.behave(Behaviour::NoLogin);
    for number in 0..5 {
        let operator = site.fails(&format!("token-{number}")).await;
        assert!(
            operator.contains("refuses the login of user cinder to project service"),
            "{operator}"
        );
    }
    assert_eq!(site.fake.logins(), 1);
    assert!(site.keystone.check().await.is_err());
    site.fake.behave(Behaviour::Right);
    while site.ask("token-1", None).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(site.fake.logins(), 2);
}
