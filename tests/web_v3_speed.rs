//! How fast volumes are shown, without the network: `cargo test --release --test web_v3_speed -- --ignored --nocapture`.
//!
//! Processor time counts, not the clock: the machine may be busy with something else.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod api;
mod web_support;

use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, test};
use api::{House, PROJECT};
use pumice::web::{middleware, server};
use serde_json::json;

/// What this process has used of the processor (`/proc/self/stat`, in ticks of 10 ms).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

#[actix_web::test]
#[ignore = "a measurement"]
async fn a_page_of_a_thousand_volumes_and_a_volume() {
    let house = House::build_deaf().await;
    house
        .put(
            &format!("/os-quota-sets/{PROJECT}"),
            json!({"quota_set": {"volumes": -1, "gigabytes": -1}}),
        )
        .send()
        .await;
    let mut id = String::new();
    for number in 0..1000 {
        let volume = json!({"size": 1, "name": format!("volume {number}"), "metadata": {"some": "metadata"}});
        let made = house.post("/volumes", json!({"volume": volume})).send().await;
        assert_eq!(made.status, 202, "{}", made.text);
        id = made.json()["volume"]["id"].as_str().unwrap().to_owned();
    }
    let site = house.site.clone();
    let app = test::init_service(
        App::new()
            .wrap(from_fn(middleware::edge))
            .configure(move |cfg| server::configure(cfg, &site)),
    )
    .await;
    for (what, path, times) in [
        (
            "a page of 1000, detailed",
            format!("/v3/{PROJECT}/volumes/detail"),
            200_u32,
        ),
        ("a page of 1000, brief", format!("/v3/{PROJECT}/volumes"), 200),
        ("one volume", format!("/v3/{PROJECT}/volumes/{id}"), 20_000),
    ] {
        let began = processor_time();
        for _ in 0..times {
            let request = test::TestRequest::with_uri(&path)
                .insert_header(("X-Auth-Token", format!("admin:{PROJECT}")))
                .insert_header(("OpenStack-API-Version", "volume 3.71"))
                .to_request();
            let body = test::call_and_read_body(&app, request).await;
            assert!(body.len() > 100);
        }
        println!("{what}: {:?}", (processor_time() - began) / times);
    }
    house.close().await;
}
