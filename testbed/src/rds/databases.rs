//! The databases as a state machine. It has no input or output, and `now` is an argument of everything.

use std::collections::BTreeMap;

use super::arn::{Arn, Kind, is_identifier};
use super::life::{AVAILABLE, Life, STARTING, STOPPED, STOPPING};
use super::model::{AddDbCluster, AddDbInstance, DbClusterView, DbInstanceView};
use crate::ec2::actions::Power;
use crate::ec2::text::check_text;
use crate::ec2::{AdminError, ApiError, Scope, Settings, SimTime, Tags};

#[derive(Debug, Default)]
pub(crate) struct Databases {
    pub(crate) instances: BTreeMap<Arn, DbInstance>,
    pub(crate) clusters: BTreeMap<Arn, DbCluster>,
}

#[derive(Debug)]
pub(crate) struct DbInstance {
    zone: String,
    pub(crate) engine: String,
    class: String,
    multi_az: bool,
    source: Option<Arn>,
    replicas: Vec<Arn>,
    pub(crate) cluster: Option<Arn>,
    life: Life,
    pub(crate) tags: Tags,
}

#[derive(Debug)]
pub(crate) struct DbCluster {
    pub(crate) engine: String,
    members: Vec<Arn>,
    source: Option<Arn>,
    replicas: Vec<Arn>,
    life: Life,
    pub(crate) tags: Tags,
}

impl Databases {
    /// Adds an instance. Returns its ARN.
    pub(crate) fn add_instance(
        &mut self,
        now: SimTime,
        add: &AddDbInstance,
        settings: &Settings,
    ) -> Result<String, AdminError> {
        let scope = Scope { account: add.account.clone(), region: add.region.clone() };
        let arn = new_arn(Kind::Instance, &scope, &add.identifier, &add.tags)?;
        if self.instances.contains_key(&arn) {
            return Err(AdminError::Refused(format!("{arn} exists already")));
        }
        let source = named(Kind::Instance, &scope, add.read_replica_of.as_ref(), &self.instances)?;
        let cluster = named(Kind::Cluster, &scope, add.cluster.as_ref(), &self.clusters)?;
        let mut instance = DbInstance {
            zone: add.zone.clone().unwrap_or_else(|| format!("{}a", add.region)),
            engine: add.engine.clone(),
            class: add.class.clone(),
            multi_az: add.multi_az,
            source: source.clone(),
            replicas: Vec::new(),
            cluster: cluster.clone(),
            life: Life::enter(now, &add.status, settings),
            tags: add.tags.clone(),
        };
        if let Some(cluster) = cluster.and_then(|cluster| self.clusters.get_mut(&cluster)) {
            instance.engine.clone_from(&cluster.engine);
            instance.life = cluster.life.clone();
            cluster.members.push(arn.clone());
        }
        if let Some(source) = source.and_then(|source| self.instances.get_mut(&source)) {
            source.replicas.push(arn.clone());
        }
        let name = arn.to_string();
        self.instances.insert(arn, instance);
        Ok(name)
    }

    /// Adds a cluster without members. Returns its ARN.
    pub(crate) fn add_cluster(
        &mut self,
        now: SimTime,
        add: &AddDbCluster,
        settings: &Settings,
    ) -> Result<String, AdminError> {
        let scope = Scope { account: add.account.clone(), region: add.region.clone() };
        let arn = new_arn(Kind::Cluster, &scope, &add.identifier, &add.tags)?;
        if self.clusters.contains_key(&arn) {
            return Err(AdminError::Refused(format!("{arn} exists already")));
        }
        let source = named(Kind::Cluster, &scope, add.replica_of.as_ref(), &self.clusters)?;
        let cluster = DbCluster {
            engine: add.engine.clone(),
            members: Vec::new(),
            source: source.clone(),
            replicas: Vec::new(),
            life: Life::enter(now, &add.status, settings),
            tags: add.tags.clone(),
        };
        if let Some(source) = source.and_then(|source| self.clusters.get_mut(&source)) {
            source.replicas.push(arn.clone());
        }
        let name = arn.to_string();
        self.clusters.insert(arn, cluster);
        Ok(name)
    }

    pub(crate) fn start_or_stop_instance(
        &mut self,
        now: SimTime,
        arn: &Arn,
        power: Power,
        settings: &Settings,
    ) -> Result<DbInstanceView, ApiError> {
        let instance = self.instances.get_mut(arn).ok_or_else(|| not_found(arn))?;
        instance.check(now, &arn.identifier, power)?;
        instance.life = Life::enter(now, entered(power), settings);
        Ok(instance.view(now, arn))
    }

    /// Starts or stops a cluster with its members.
    pub(crate) fn start_or_stop_cluster(
        &mut self,
        now: SimTime,
        arn: &Arn,
        power: Power,
        settings: &Settings,
    ) -> Result<DbClusterView, ApiError> {
        let cluster = self.clusters.get(arn).ok_or_else(|| not_found(arn))?;
        cluster.check(now, &arn.identifier, power)?;
        self.move_cluster(arn, &Life::enter(now, entered(power), settings));
        self.clusters.get(arn).map(|cluster| cluster.view(now, arn)).ok_or_else(|| not_found(arn))
    }

    fn move_cluster(&mut self, arn: &Arn, life: &Life) {
        let Some(cluster) = self.clusters.get_mut(arn) else {
            return;
        };
        cluster.life = life.clone();
        for member in &cluster.members {
            if let Some(member) = self.instances.get_mut(member) {
                member.life = life.clone();
            }
        }
    }

    /// Gives a database a status, even if the API would not allow it. Members get the status of their cluster.
    pub(crate) fn force(
        &mut self,
        now: SimTime,
        name: &str,
        status: &str,
        settings: &Settings,
    ) -> Result<(), AdminError> {
        let arn = self.known(name)?;
        let life = Life::enter(now, status, settings);
        match arn.kind {
            Kind::Instance => {
                if let Some(instance) = self.instances.get_mut(&arn) {
                    instance.life = life;
                }
            }
            Kind::Cluster => self.move_cluster(&arn, &life),
        }
        Ok(())
    }

    /// The database of this ARN.
    pub(crate) fn known(&self, name: &str) -> Result<Arn, AdminError> {
        let arn = Arn::parse(name).filter(|arn| self.tags(arn).is_some());
        arn.ok_or_else(|| AdminError::UnknownDatabase(name.to_owned()))
    }

    pub(crate) fn tags(&self, arn: &Arn) -> Option<&Tags> {
        match arn.kind {
            Kind::Instance => self.instances.get(arn).map(|instance| &instance.tags),
            Kind::Cluster => self.clusters.get(arn).map(|cluster| &cluster.tags),
        }
    }

    pub(crate) fn tags_mut(&mut self, arn: &Arn) -> Option<&mut Tags> {
        match arn.kind {
            Kind::Instance => self.instances.get_mut(arn).map(|instance| &mut instance.tags),
            Kind::Cluster => self.clusters.get_mut(arn).map(|cluster| &mut cluster.tags),
        }
    }

    /// The zone and tags of a database that a call names. A cluster has no zone, because it spans several.
    pub(crate) fn place_and_tags(&self, arn: &Arn) -> Option<(&str, &Tags)> {
        let instance = self.instances.get(arn).map(|instance| (instance.zone.as_str(), &instance.tags));
        instance.or_else(|| self.clusters.get(arn).map(|cluster| ("", &cluster.tags)))
    }
}

impl DbInstance {
    fn check(&self, now: SimTime, identifier: &str, power: Power) -> Result<(), ApiError> {
        if self.cluster.is_some() {
            let message = format!("{} DB instances are not eligible for stopping and starting.", self.engine);
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        let wrong = |message: String| Err(ApiError::new("InvalidDBInstanceState", message));
        if power == Power::Stop {
            if self.source.is_some() {
                return wrong(format!("Cannot stop instance {identifier} because it is a read replica."));
            }
            if !self.replicas.is_empty() {
                return wrong(format!("Cannot stop instance {identifier} because it has read replicas."));
            }
            if self.multi_az && self.engine.starts_with("sqlserver") {
                return wrong(format!(
                    "Cannot stop instance {identifier} because it is a SQL Server instance in a Multi-AZ \
                     configuration."
                ));
            }
        }
        let needed = needed(power);
        if self.life.status(now) == needed {
            Ok(())
        } else {
            wrong(format!("Instance {identifier} is not in {needed} state."))
        }
    }

    pub(crate) fn view(&self, now: SimTime, arn: &Arn) -> DbInstanceView {
        let (status, since) = self.life.at(now);
        DbInstanceView {
            identifier: arn.identifier.clone(),
            arn: arn.to_string(),
            scope: arn.scope.clone(),
            zone: self.zone.clone(),
            engine: self.engine.clone(),
            class: self.class.clone(),
            status: status.to_owned(),
            since,
            multi_az: self.multi_az,
            read_replica_of: self.source.as_ref().map(|source| source.seen_from(&arn.scope)),
            read_replicas: self.replicas.iter().map(|replica| replica.seen_from(&arn.scope)).collect(),
            cluster: self.cluster.as_ref().map(|cluster| cluster.identifier.clone()),
            automatic_restart_time: self.life.restart_at(now),
            tags: self.tags.clone(),
        }
    }
}

impl DbCluster {
    fn check(&self, now: SimTime, identifier: &str, power: Power) -> Result<(), ApiError> {
        let wrong = |message: String| Err(ApiError::new("InvalidDBClusterStateFault", message));
        if power == Power::Stop && (self.source.is_some() || !self.replicas.is_empty()) {
            return wrong(format!(
                "Cannot stop DbCluster {identifier} because it takes part in cross-region replication."
            ));
        }
        let status = self.life.status(now);
        if status == needed(power) {
            return Ok(());
        }
        let expected = match power {
            Power::Start => "stopped,inaccessible-encryption-credentials-recoverable",
            Power::Stop => AVAILABLE,
        };
        wrong(format!("DbCluster {identifier} is in {status} state but expected it to be one of {expected}."))
    }

    pub(crate) fn view(&self, now: SimTime, arn: &Arn) -> DbClusterView {
        let (status, since) = self.life.at(now);
        DbClusterView {
            identifier: arn.identifier.clone(),
            arn: arn.to_string(),
            scope: arn.scope.clone(),
            engine: self.engine.clone(),
            status: status.to_owned(),
            since,
            members: self.members.iter().map(|member| member.identifier.clone()).collect(),
            replica_of: self.source.as_ref().map(Arn::to_string),
            replicas: self.replicas.iter().map(Arn::to_string).collect(),
            automatic_restart_time: self.life.restart_at(now),
            tags: self.tags.clone(),
        }
    }
}

/// The status that a call needs.
fn needed(power: Power) -> &'static str {
    match power {
        Power::Start => STOPPED,
        Power::Stop => AVAILABLE,
    }
}

/// The status that a call leads to.
fn entered(power: Power) -> &'static str {
    match power {
        Power::Start => STARTING,
        Power::Stop => STOPPING,
    }
}

pub(crate) fn not_found(arn: &Arn) -> ApiError {
    let name = &arn.identifier;
    match arn.kind {
        Kind::Instance => ApiError::new("DBInstanceNotFound", format!("DBInstance {name} not found.")),
        Kind::Cluster => ApiError::new("DBClusterNotFoundFault", format!("DBCluster {name} not found.")),
    }
}

fn new_arn(kind: Kind, scope: &Scope, identifier: &str, tags: &Tags) -> Result<Arn, AdminError> {
    if !is_identifier(identifier) {
        return Err(AdminError::Refused(format!("{identifier} is no identifier of a database")));
    }
    for text in tags.iter().flat_map(|(key, value)| [key, value]) {
        check_text(text).map_err(|error| AdminError::Refused(error.message))?;
    }
    Ok(Arn::new(kind, scope, identifier))
}

/// Checks that the database to which a new one refers exists.
fn named<T>(
    kind: Kind,
    scope: &Scope,
    name: Option<&String>,
    among: &BTreeMap<Arn, T>,
) -> Result<Option<Arn>, AdminError> {
    let find = |name: &String| {
        let arn = Arn::resolve(kind, scope, name).filter(|arn| among.contains_key(arn));
        arn.ok_or_else(|| AdminError::UnknownDatabase(name.clone()))
    };
    name.map(find).transpose()
}
