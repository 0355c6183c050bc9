//! The client of the container runtime: CRI v1 over a unix socket.

use std::path::Path;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use v1::image_service_client::ImageServiceClient;
use v1::runtime_service_client::RuntimeServiceClient;

/// The messages of CRI, generated from proto/api.proto.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

/// What an ordinary call may take.
const CALL: Duration = Duration::from_secs(120);
/// What a pull may take.
const PULL: Duration = Duration::from_secs(3600);
/// Answers may be this large: a node with many containers has long lists.
const ANSWER_LIMIT: usize = 16 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// The endpoint's address cannot be one.
    #[error("{0:?} is no runtime endpoint: give the path of a unix socket")]
    Endpoint(String),
    /// The runtime refused, or could not be reached. The text is gRPC's, as upstream shows it.
    #[error("rpc error: code = {code:?} desc = {message}")]
    Rpc {
        /// gRPC code.
        code: tonic::Code,
        /// The runtime's own words.
        message: String,
    },
    /// The answer lacks a field that CRI promises.
    #[error("the container runtime's answer to {0} is incomplete")]
    Incomplete(&'static str),
}

impl CriError {
    /// What was asked about is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            CriError::Rpc {
                code: tonic::Code::NotFound,
                ..
            }
        )
    }

    /// The call took longer than it may.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            CriError::Rpc {
                code: tonic::Code::DeadlineExceeded,
                ..
            }
        )
    }

    /// The runtime's own words.
    pub fn message(&self) -> String {
        match self {
            CriError::Rpc { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }
}

impl From<tonic::Status> for CriError {
    fn from(status: tonic::Status) -> Self {
        CriError::Rpc {
            code: status.code(),
            message: status.message().to_string(),
        }
    }
}

/// The container runtime. Cheap to clone; it connects when first used, and again when the connection breaks.
#[derive(Clone)]
pub struct Runtime {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $service:ident.$name:ident($request:ident) -> $response:ident;)*) => {
        $(
            $(#[$doc])*
            pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, CriError> {
                within(CALL, self.$service.clone().$name(request)).await
            }
        )*
    };
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, CriError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(CriError::Rpc {
            code: tonic::Code::DeadlineExceeded,
            message: "context deadline exceeded".into(),
        }),
    }
}

impl Runtime {
    /// A client of the runtime that listens on `socket`.
    pub fn new(socket: &Path) -> Result<Self, CriError> {
        let address = format!("unix://{}", socket.display());
        let channel = Endpoint::from_shared(address.clone())
            .map_err(|_| CriError::Endpoint(address))?
            .connect_lazy();
        Ok(Runtime {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_LIMIT),
            images: ImageServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT),
        })
    }

    calls! {
        /// Version
        runtime.version(VersionRequest) -> VersionResponse;
        /// Status
        runtime.status(StatusRequest) -> StatusResponse;
        /// RuntimeConfig; runtimes before CRI 1.28 do not know it.
        runtime.runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse;
        /// ListPodSandbox
        runtime.list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse;
        /// ListContainers
        runtime.list_containers(ListContainersRequest) -> ListContainersResponse;
        /// UpdateContainerResources
        runtime.update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse;
        /// Exec
        runtime.exec(ExecRequest) -> ExecResponse;
        /// Attach
        runtime.attach(AttachRequest) -> AttachResponse;
        /// PortForward
        runtime.port_forward(PortForwardRequest) -> PortForwardResponse;
        /// ContainerStats
        runtime.container_stats(ContainerStatsRequest) -> ContainerStatsResponse;
        /// ListContainerStats
        runtime.list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse;
        /// ListPodSandboxStats
        runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
        /// ListImages
        images.list_images(ListImagesRequest) -> ListImagesResponse;
        /// ImageFsInfo
        images.image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse;
    }

    /// RunPodSandbox; the sandbox's id.
    pub async fn run_pod_sandbox(&self, config: v1::PodSandboxConfig) -> Result<String, CriError> {
        let request = v1::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: String::new(),
        };
        let answer = within(CALL * 2, self.runtime.clone().run_pod_sandbox(request)).await?;
        Ok(answer.pod_sandbox_id)
    }

    /// StopPodSandbox; its containers are killed, its network is taken down.
    pub async fn stop_pod_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = v1::StopPodSandboxRequest {
            pod_sandbox_id: id.into(),
        };
        gone_is_fine(within(CALL, self.runtime.clone().stop_pod_sandbox(request)).await)
    }

    /// RemovePodSandbox, with its containers.
    pub async fn remove_pod_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = v1::RemovePodSandboxRequest {
            pod_sandbox_id: id.into(),
        };
        gone_is_fine(within(CALL, self.runtime.clone().remove_pod_sandbox(request)).await)
    }

    /// PodSandboxStatus
    pub async fn pod_sandbox_status(&self, id: &str) -> Result<v1::PodSandboxStatus, CriError> {
        let request = v1::PodSandboxStatusRequest {
            pod_sandbox_id: id.into(),
            verbose: false,
        };
        let answer = within(CALL, self.runtime.clone().pod_sandbox_status(request)).await?;
        answer.status.ok_or(CriError::Incomplete("PodSandboxStatus"))
    }

    /// CreateContainer; the container's id.
    pub async fn create_container(
        &self,
        sandbox: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let answer = within(CALL, self.runtime.clone().create_container(request)).await?;
        Ok(answer.container_id)
    }

    /// StartContainer
    pub async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let request = v1::StartContainerRequest {
            container_id: id.into(),
        };
        within(CALL, self.runtime.clone().start_container(request))
            .await
            .map(drop)
    }

    /// StopContainer: its stop signal, and SIGKILL after `grace`.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = v1::StopContainerRequest {
            container_id: id.into(),
            timeout,
        };
        gone_is_fine(
            within(
                CALL.saturating_add(grace),
                self.runtime.clone().stop_container(request),
            )
            .await,
        )
    }

    /// RemoveContainer
    pub async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = v1::RemoveContainerRequest {
            container_id: id.into(),
        };
        gone_is_fine(within(CALL, self.runtime.clone().remove_container(request)).await)
    }

    /// ContainerStatus
    pub async fn container_status(&self, id: &str) -> Result<v1::ContainerStatus, CriError> {
        let request = v1::ContainerStatusRequest {
            container_id: id.into(),
            verbose: false,
        };
        let answer = within(CALL, self.runtime.clone().container_status(request)).await?;
        answer.status.ok_or(CriError::Incomplete("ContainerStatus"))
    }

    /// The process of a container, if the runtime tells: containerd does when it is asked for all it knows.
    pub async fn container_process(&self, id: &str) -> Result<Option<u32>, CriError> {
        let request = v1::ContainerStatusRequest {
            container_id: id.into(),
            verbose: true,
        };
        let answer = within(CALL, self.runtime.clone().container_status(request)).await?;
        let info = answer.info.get("info").map_or("", String::as_str);
        let info: serde_json::Value = serde_json::from_str(info).unwrap_or_default();
        let pid = info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        Ok(pid.filter(|pid| *pid > 0))
    }

    /// ReopenContainerLog, after the log's file was moved away.
    pub async fn reopen_container_log(&self, id: &str) -> Result<(), CriError> {
        let request = v1::ReopenContainerLogRequest {
            container_id: id.into(),
        };
        within(CALL, self.runtime.clone().reopen_container_log(request))
            .await
            .map(drop)
    }

    /// ExecSync: runs a command to its end; it is killed after `limit`, or never if that is zero.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<v1::ExecSyncResponse, CriError> {
        let timeout = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let request = v1::ExecSyncRequest {
            container_id: id.into(),
            cmd: command,
            timeout,
        };
        // The runtime ends the command itself; this is for a runtime that does not answer.
        let patience = if limit.is_zero() {
            PULL
        } else {
            limit.saturating_add(CALL)
        };
        within(patience, self.runtime.clone().exec_sync(request)).await
    }

    /// PullImage; the image's reference.
    pub async fn pull_image(&self, image: &str, auth: Option<v1::AuthConfig>) -> Result<String, CriError> {
        let request = v1::PullImageRequest {
            image: Some(image_spec(image)),
            auth,
            sandbox_config: None,
        };
        let answer = within(PULL, self.images.clone().pull_image(request)).await?;
        Ok(answer.image_ref)
    }

    /// ImageStatus; `None` when the image is not there.
    pub async fn image_status(&self, image: &str) -> Result<Option<v1::Image>, CriError> {
        let request = v1::ImageStatusRequest {
            image: Some(image_spec(image)),
            verbose: false,
        };
        Ok(within(CALL, self.images.clone().image_status(request))
            .await?
            .image)
    }

    /// RemoveImage
    pub async fn remove_image(&self, image: &str) -> Result<(), CriError> {
        let request = v1::RemoveImageRequest {
            image: Some(image_spec(image)),
        };
        gone_is_fine(within(CALL, self.images.clone().remove_image(request)).await)
    }
}

fn gone_is_fine<T>(result: Result<T, CriError>) -> Result<(), CriError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// An image by its name.
pub fn image_spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec {
        image: image.into(),
        ..Default::default()
    }
}
