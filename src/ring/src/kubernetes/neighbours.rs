//! Lists the members of other rings by the metadata of their Leases: in all namespaces if that is permitted, else in
//! the ring's namespace.

use std::sync::Arc;

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    coordination::v1::Lease,
};
use kube::{
    Api, Client,
    api::{ListParams, PartialObjectMeta, PostParams},
};
use tokio::sync::OnceCell;

use super::{
    convert::{
        Odd,
        lease::{self, LABEL_RING, LABEL_ROLE, ROLE_MEMBER},
    },
    requests::{PAGE, PAGES_MAX},
};
use crate::claim::{Neighbour, RingName};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Odd(#[from] Odd),
    #[error("more than {PAGES_MAX} pages of {PAGE} Leases")]
    TooMany,
}

/// Lists the members of all rings.
pub(super) struct AllMembers {
    everywhere: Api<Lease>,
    nearby: Api<Lease>,
    namespace: Arc<str>,
    reviews: Api<SelfSubjectAccessReview>,
    /// Whether this process may list Leases in all namespaces. It is asked once, so a right that is given later counts
    /// only after the next start.
    may_list_all: OnceCell<bool>,
}

impl AllMembers {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            everywhere: Api::all(client.clone()),
            nearby: Api::namespaced(client.clone(), namespace),
            namespace: namespace.into(),
            reviews: Api::all(client),
            may_list_all: OnceCell::new(),
        }
    }

    /// Lists the members consistently. Also returns whether the list covers all namespaces.
    pub(super) async fn list(&self) -> Result<(Vec<Neighbour>, bool), ListError> {
        if *self.may_list_all.get_or_try_init(|| self.ask_for_right()).await? {
            match self.pages(&self.everywhere).await {
                // The right has been taken away since.
                Err(ListError::Api(error)) if is_forbidden(&error) => {}
                listed => return Ok((listed?, true)),
            }
        }
        Ok((self.pages(&self.nearby).await?, false))
    }

    /// Asks for the right before the first list, because a refused request would look like an attack in the audit log.
    async fn ask_for_right(&self) -> Result<bool, kube::Error> {
        let list = ResourceAttributes {
            group: Some("coordination.k8s.io".to_owned()),
            resource: Some("leases".to_owned()),
            verb: Some("list".to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(list), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        match self.reviews.create(&PostParams::default(), &review).await {
            Ok(review) => Ok(review.status.is_some_and(|status| status.allowed)),
            Err(error) if is_forbidden(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The list asks for no version. So all pages show the state of one instant, which is not before the request.
    async fn pages(&self, api: &Api<Lease>) -> Result<Vec<Neighbour>, ListError> {
        let selector = format!("{LABEL_RING},{LABEL_ROLE}={ROLE_MEMBER}");
        let mut page = ListParams::default().labels(&selector).limit(PAGE);
        let mut members = Vec::new();
        for _ in 0..PAGES_MAX {
            let list = api.list_metadata(&page).await?;
            for object in list.items {
                members.push(self.neighbour(object)?);
            }
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                return Ok(members);
            }
        }
        Err(ListError::TooMany)
    }

    fn neighbour(&self, object: PartialObjectMeta<Lease>) -> Result<Neighbour, Odd> {
        let metadata = object.metadata;
        let namespace = metadata.namespace.as_deref().map_or_else(|| self.namespace.clone(), Arc::from);
        let name = metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_RING));
        let ring = RingName { namespace, name: name.map(String::as_str).unwrap_or_default().into() };
        // The annotations repeat what the spec says.
        let lease = lease::member(&Lease { metadata, spec: None })?;
        Ok(Neighbour { ring, lease })
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
