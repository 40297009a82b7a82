//! Writes the RDS Query protocol.

use super::actions::Answer;
use super::model::{DbClusterView, DbInstanceView};
use crate::ec2::xml::{Xml, wrapped};
use crate::ec2::{SimTime, Tags};

/// The XML namespace of all answers of RDS.
pub(crate) const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

pub(crate) fn render(action: &str, request_id: &str, answer: &Answer) -> String {
    wrapped(action, NAMESPACE, request_id, |xml| {
        if !matches!(answer, Answer::Done) {
            xml.element(&format!("{action}Result"), |xml| result(xml, answer));
        }
    })
}

fn result(xml: &mut Xml, answer: &Answer) {
    match answer {
        Answer::Instances(page) => {
            xml.list("DBInstances", "DBInstance", &page.items, instance);
            xml.optional("Marker", page.marker.as_deref());
        }
        Answer::Clusters(page) => {
            xml.list("DBClusters", "DBCluster", &page.items, cluster);
            xml.optional("Marker", page.marker.as_deref());
        }
        Answer::Instance(view) => xml.element("DBInstance", |xml| instance(xml, view)),
        Answer::Cluster(view) => xml.element("DBCluster", |xml| cluster(xml, view)),
        Answer::Tags(found) => tags(xml, found),
        Answer::Done => {}
    }
}

fn instance(xml: &mut Xml, view: &DbInstanceView) {
    xml.text("DBInstanceIdentifier", &view.identifier);
    xml.text("DBInstanceClass", &view.class);
    xml.text("Engine", &view.engine);
    xml.text("DBInstanceStatus", &view.status);
    let restart = view.automatic_restart_time.map(SimTime::iso8601);
    xml.optional("AutomaticRestartTime", restart.as_deref());
    xml.text("AvailabilityZone", &view.zone);
    xml.text("MultiAZ", if view.multi_az { "true" } else { "false" });
    xml.optional("ReadReplicaSourceDBInstanceIdentifier", view.read_replica_of.as_deref());
    names(xml, "ReadReplicaDBInstanceIdentifier", &view.read_replicas);
    xml.optional("DBClusterIdentifier", view.cluster.as_deref());
    xml.text("DBInstanceArn", &view.arn);
    tags(xml, &view.tags);
}

fn cluster(xml: &mut Xml, view: &DbClusterView) {
    xml.text("DBClusterIdentifier", &view.identifier);
    xml.text("Status", &view.status);
    let restart = view.automatic_restart_time.map(SimTime::iso8601);
    xml.optional("AutomaticRestartTime", restart.as_deref());
    xml.text("Engine", &view.engine);
    xml.optional("ReplicationSourceIdentifier", view.replica_of.as_deref());
    names(xml, "ReadReplicaIdentifier", &view.replicas);
    let members = view.members.iter().enumerate();
    xml.list("DBClusterMembers", "DBClusterMember", members, |xml, (index, member)| {
        xml.text("DBInstanceIdentifier", member);
        xml.text("IsClusterWriter", if index == 0 { "true" } else { "false" });
        xml.text("DBClusterParameterGroupStatus", "in-sync");
        xml.text("PromotionTier", "1");
    });
    xml.text("DBClusterArn", &view.arn);
    tags(xml, &view.tags);
}

/// Writes names in elements `each`, within an element of the plural.
fn names(xml: &mut Xml, each: &str, names: &[String]) {
    xml.element(&format!("{each}s"), |xml| {
        for name in names {
            xml.text(each, name);
        }
    });
}

fn tags(xml: &mut Xml, tags: &Tags) {
    xml.list("TagList", "Tag", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}
