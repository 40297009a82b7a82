//! The simulator over HTTP, as a caller sees it.

use std::time::Duration;

use super::super::*;

/// A caller that signs for `region` with `key`, by the name of `tester`, and speaks `version`.
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) region: &'static str,
    pub(crate) key: String,
    pub(crate) version: &'static str,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// What stands between the first `<name>` and its end.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    }

    pub(crate) fn count(&self, element: &str) -> usize {
        self.body.matches(&format!("<{element}>")).count()
    }
}

impl Caller {
    pub(crate) fn of(simulator: &Ec2Simulator) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            http,
            url: simulator.url(),
            region: "eu-central-1",
            key: "AKTEST".to_owned(),
            version: "2016-11-15",
        }
    }

    pub(crate) async fn call(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.try_call(action, params).await.unwrap()
    }

    pub(crate) async fn try_call(&self, action: &str, params: &[(&str, &str)]) -> reqwest::Result<Answer> {
        let body = {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("Action", action).append_pair("Version", self.version).extend_pairs(params);
            form.finish()
        };
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/any/aws4_request, SignedHeaders=host, Signature=00",
            self.key, self.region
        );
        let request = self.http.post(&self.url).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("user-agent", "aws-sdk-rust/1.3 ua/2.1 os/linux app/tester");
        let response = request.header("authorization", authorization).send().await?;
        Ok(Answer { status: response.status().as_u16(), body: response.text().await? })
    }
}

pub(crate) async fn simulator() -> Ec2Simulator {
    let settings = Settings { pending_ms: 10_000, stopping_ms: 20_000, ..Settings::default() };
    Ec2Simulator::start(Ec2Config { settings, ..Ec2Config::default() }.virtual_clock()).await.unwrap()
}

#[tokio::test]
async fn an_instance_goes_through_a_start_as_a_caller_sees_it() {
    let simulator = simulator().await;
    let add = AddInstances::ids(["i-0123456789abcdef0"]).state(InstanceState::Stopped).tag("group", "<a&b>");
    simulator.world().add_instances(&add).unwrap();
    let caller = Caller::of(&simulator);

    let started = caller.call("StartInstances", &[("InstanceId.1", "i-0123456789abcdef0")]).await;
    simulator.world().advance(Duration::from_secs(10)).unwrap();
    let described = caller.call("DescribeInstances", &[("InstanceId.1", "i-0123456789abcdef0")]).await;

    let root = "<StartInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">";
    assert!(started.body.contains(root), "{}", started.body);
    let changes = "<item><instanceId>i-0123456789abcdef0</instanceId>\
        <currentState><code>0</code><name>pending</name></currentState>\
        <previousState><code>80</code><name>stopped</name></previousState></item>";
    assert_eq!(started.text("instancesSet"), Some(changes));
    let root = "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">";
    assert!(described.body.contains(root));
    assert_eq!(described.text("instanceState"), Some("<code>16</code><name>running</name>"));
    assert_eq!(described.text("launchTime"), Some("2026-01-01T00:00:00.000Z"));
    assert_eq!(described.text("availabilityZone"), Some("eu-central-1a"));
    assert_eq!(described.text("tagSet"), Some("<item><key>group</key><value>&lt;a&amp;b&gt;</value></item>"));
    assert_eq!((described.text("stateReason"), described.text("reason")), (None, Some("")));
}

#[tokio::test]
async fn filters_and_pages_travel_over_the_wire() {
    let simulator = simulator().await;
    simulator.world().add_instances(&AddInstances::count(7).tag("group", "a b+c")).unwrap();
    simulator.world().add_instances(&AddInstances::count(3).tag("group", "other")).unwrap();
    let caller = Caller::of(&simulator);
    let ask = [("Filter.1.Name", "tag:group"), ("Filter.1.Value.1", "a b+?"), ("MaxResults", "5")];

    let first = caller.call("DescribeInstances", &ask).await;
    let token = first.text("nextToken").unwrap();
    let second = caller.call("DescribeInstances", &[&ask[..], &[("NextToken", token)]].concat()).await;

    assert_eq!((first.count("reservationId"), first.count("instanceId")), (5, 5));
    assert_eq!((second.count("instanceId"), second.text("nextToken")), (2, None));
}

#[tokio::test]
async fn tags_are_set_and_removed_over_the_wire() {
    let simulator = simulator().await;
    let world = simulator.world();
    let ids = world.add_instances(&AddInstances::count(1).tag("old", "1")).unwrap();
    let caller = Caller::of(&simulator);
    let odd = "a=b&c d\r\n\u{1f600}";

    let set = [("ResourceId.1", ids[0].as_str()), ("Tag.1.Key", "new"), ("Tag.1.Value", odd)];
    let created = caller.call("CreateTags", &set).await;
    let deleted = caller.call("DeleteTags", &[("ResourceId.1", &ids[0]), ("Tag.1.Key", "old")]).await;

    assert_eq!((created.status, created.text("return")), (200, Some("true")));
    assert_eq!((deleted.status, deleted.text("return")), (200, Some("true")));
    let tags = world.instance(&ids[0]).unwrap().tags;
    assert_eq!(tags, Tags::from([("new".to_owned(), odd.to_owned())]));
    let described = caller.call("DescribeInstances", &[]).await;
    assert!(described.body.contains("<value>a=b&amp;c d&#xD;\n\u{1f600}</value>"));
}

#[tokio::test]
async fn errors_come_in_ec2s_form_with_its_status() {
    let simulator = simulator().await;
    let caller = Caller::of(&simulator);
    for (action, params, status, code) in [
        ("StartInstances", vec![("InstanceId.1", "i-00000000000000001")], 400, "InvalidInstanceID.NotFound"),
        ("StartInstances", vec![("InstanceId.1", "\u{1}<")], 400, "InvalidInstanceID.Malformed"),
        ("StartInstances", vec![], 400, "MissingParameter"),
        ("DescribeInstances", vec![("MaxResults", "many")], 400, "InvalidParameterValue"),
        ("RunInstances", vec![], 400, "InvalidAction"),
        ("", vec![], 400, "MissingParameter"),
    ] {
        let answer = caller.call(action, &params).await;
        assert_eq!((answer.status, answer.text("Code")), (status, Some(code)));
        let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>";
        assert!(answer.body.starts_with(start) && answer.text("RequestID").is_some(), "{}", answer.body);
        assert!(!answer.body.contains('\u{1}'));
    }
}

#[tokio::test]
async fn a_call_without_credentials_is_refused_and_logged() {
    let simulator = simulator().await;
    let answer = reqwest::Client::new().post(simulator.url()).body("Action=DescribeInstances").send().await;
    assert_eq!(answer.unwrap().status().as_u16(), 403);
    let page = simulator.world().calls(&CallQuery::default());
    assert_eq!(page.calls[0].outcome.as_deref(), Some("MissingAuthenticationToken"));
}

#[tokio::test]
async fn instances_of_other_accounts_and_regions_are_invisible() {
    let simulator = simulator().await;
    let world = simulator.world();
    let elsewhere = AddInstances { region: "us-west-2".to_owned(), ..AddInstances::count(2) };
    world.add_instances(&elsewhere).unwrap();
    world.add_instances(&AddInstances::count(1)).unwrap();
    let mut caller = Caller::of(&simulator);

    assert_eq!(caller.call("DescribeInstances", &[]).await.count("instanceId"), 1);
    caller.region = "us-west-2";
    assert_eq!(caller.call("DescribeInstances", &[]).await.count("instanceId"), 2);
    world.set_account("AKTEST", "111111111111");
    assert_eq!(caller.call("DescribeInstances", &[]).await.count("instanceId"), 0);
}

#[tokio::test]
async fn every_call_is_on_record() {
    let simulator = simulator().await;
    let world = simulator.world();
    let ids = world.add_instances(&AddInstances::count(1)).unwrap();
    let caller = Caller::of(&simulator);

    caller.call("StopInstances", &[("InstanceId.1", &ids[0])]).await;
    caller.call("StartInstances", &[("InstanceId.1", &ids[0])]).await;

    let page = world.calls(&CallQuery::default());
    let [stop, start] = &page.calls[..] else { panic!("{page:?}") };
    assert_eq!(
        (stop.number, stop.facts.action.as_str(), &stop.facts.instance_ids),
        (1, "StopInstances", &ids)
    );
    assert_eq!((stop.facts.caller.as_str(), stop.facts.access_key_id.as_str()), ("tester", "AKTEST"));
    assert_eq!(
        (stop.facts.scope.account.as_str(), stop.facts.scope.region.as_str()),
        (DEFAULT_ACCOUNT, "eu-central-1")
    );
    assert_eq!((stop.outcome.as_deref(), stop.took_effect), (Some("OK"), true));
    assert_eq!((start.outcome.as_deref(), start.took_effect), (Some("IncorrectInstanceState"), false));
    assert!(stop.completed.unwrap().wall >= stop.arrived.wall);
    assert_eq!(stop.arrived.sim, world.clock().now);
}

#[tokio::test]
async fn everything_can_be_administered_from_another_process() {
    let simulator = simulator().await;
    let admin = Ec2AdminClient::new(&simulator.url()).unwrap();
    let caller = Caller::of(&simulator);

    let mut ids = admin.add_instances(&AddInstances::count(2).tag("group", "a")).await.unwrap();
    let last = ids.pop().unwrap();
    admin.set_tags(&ids, &Tags::from([("group".to_owned(), "b c".to_owned())])).await.unwrap();
    let by_group = InstanceQuery {
        tag_key: Some("group".to_owned()),
        tag_value: Some("b c".to_owned()),
        state: Some(InstanceState::Running),
        ..InstanceQuery::default()
    };
    assert_eq!(admin.instances(&by_group).await.unwrap().len(), 1);
    admin.remove_tags(&ids, &["group".to_owned()]).await.unwrap();
    admin.set_state(&ids, InstanceState::Stopped, None).await.unwrap();
    admin.terminate(&[last]).await.unwrap();
    admin.set_falls_back(&ids, Some(&FallsBack::for_capacity())).await.unwrap();
    let patch = SettingsPatch { pending_ms: Some(3_000), ..SettingsPatch::default() };
    assert_eq!(admin.change_settings(&patch).await.unwrap(), admin.settings().await.unwrap());
    caller.call("StartInstances", &[("InstanceId.1", &ids[0])]).await;
    let clock = admin.advance(Duration::from_secs(3)).await.unwrap();
    assert_eq!((clock, clock.is_virtual), (admin.clock().await.unwrap(), true));
    let view = admin.instance(&ids[0]).await.unwrap();
    assert_eq!(view.state_reason.unwrap().code, "Server.InsufficientInstanceCapacity");

    let rule = admin.add_fault(&FaultRule::on("StopInstances", FaultEffect::Hang).times(9)).await.unwrap();
    assert_eq!(admin.faults().await.unwrap()[0].id, rule);
    admin.remove_fault(rule).await.unwrap();
    assert!(matches!(admin.remove_fault(rule).await, Err(AdminClientError::Refused { status: 404, .. })));
    admin.clear_faults().await.unwrap();
    admin.set_account("AKTEST", "111111111111").await.unwrap();
    let query = CallQuery { since: 1, action: Some("StartInstances".to_owned()), limit: Some(5) };
    assert_eq!(admin.calls(&query).await.unwrap(), simulator.world().calls(&query));
    admin.clear_calls().await.unwrap();
    admin.reset().await.unwrap();
    assert!(admin.instances(&InstanceQuery::default()).await.unwrap().is_empty());
    assert_ne!(admin.settings().await.unwrap().pending_ms, 3_000);
    let unknown = admin.instance("i-00000000000000001").await;
    assert!(matches!(unknown, Err(AdminClientError::Refused { status: 404, .. })));
}
