//! The component, and one instance of it a request.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::{Semaphore, oneshot};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::fermyon::spin;
use crate::faults::{Faults, Wanted};
use crate::key_value::Values;
use crate::manifest::Manifest;
use crate::outbound::Allowed;

/// How the host is set up.
pub struct Options {
    /// What is run.
    pub manifest: Manifest,
    /// Where all state is.
    pub directory: PathBuf,
    /// Where compiled components are kept between starts.
    pub cache: PathBuf,
    /// What goes wrong.
    pub faults: Option<PathBuf>,
    /// Where the component's standard output goes, if not to this process's.
    pub output: Option<PathBuf>,
    /// How the platform is.
    pub platform: Platform,
}

/// Which Spin this host stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// With everything.
    Spin,
    /// A Spin whose database cannot be opened.
    WithoutDatabase,
    /// Akamai Functions: the interface of SQLite is not there at all.
    Akamai,
}

/// What all instances share.
pub struct Shared {
    pub(crate) manifest: Manifest,
    pub(crate) allowed: Allowed,
    pub(crate) directory: PathBuf,
    pub(crate) values: Values,
    pub(crate) faults: Faults,
    pub(crate) offers_sqlite: bool,
    output: Option<Mutex<File>>,
}

/// The component, ready for instances.
#[derive(Clone)]
pub struct Runtime {
    ready: ProxyPre<State>,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

/// What one instance has.
pub struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) table: ResourceTable,
    pub(crate) wanted: Wanted,
    allowed: Allowed,
    http: WasiHttpCtx,
    wasi: WasiCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.allowed, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Compiles a component, or takes it from the cache, which is keyed by its bytes and the compiler's
/// version and settings.
///
/// # Errors
///
/// There is no such file, or it is no component.
pub fn compile(source: &Path, cache: &Path) -> wasmtime::Result<Component> {
    let mut pool = PoolingAllocationConfig::new();
    let most = u32::try_from(INSTANCES).unwrap_or(u32::MAX);
    pool.total_component_instances(most)
        .total_core_instances(most * 8)
        .total_memories(most)
        .total_tables(most * 4)
        .total_stacks(most)
        .max_memory_size(128 << 20);
    let mut directory = CacheConfig::new();
    directory.with_directory(cache);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .cache(Some(Cache::new(directory)?));
    Component::from_file(&Engine::new(&config)?, source)
}

/// The names of a component's imports, with their versions.
#[must_use]
pub fn imports(component: &Component) -> Vec<String> {
    let kind = component.component_type();
    kind.imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

impl Runtime {
    /// Loads the component that the manifest names.
    ///
    /// # Errors
    ///
    /// It is not built, or it imports what the platform does not offer.
    pub fn load(options: Options) -> wasmtime::Result<Self> {
        let component = compile(&options.manifest.source, &options.cache)?;
        let mut linker: Linker<State> = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        spin::key_value::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        spin::redis::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        spin::variables::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        if options.platform != Platform::Akamai {
            spin::sqlite::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        }
        let output = options.output.map(|path| {
            let file = File::options().append(true).create(true).open(path);
            Mutex::new(file.expect("a file for the component's output"))
        });
        let shared = Shared {
            allowed: Allowed(options.manifest.allowed.clone()),
            values: Values::open(&options.directory),
            manifest: options.manifest,
            directory: options.directory,
            faults: Faults::new(options.faults),
            offers_sqlite: options.platform == Platform::Spin,
            output,
        };
        Ok(Self {
            ready: ProxyPre::new(linker.instantiate_pre(&component)?)?,
            shared: Arc::new(shared),
            places: Arc::new(Semaphore::new(INSTANCES)),
        })
    }

    /// What goes wrong now.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.shared.faults.wanted()
    }

    /// Answers a request with a new instance.
    ///
    /// # Errors
    ///
    /// The instance ended without an answer.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> wasmtime::Result<Response<HyperOutgoingBody>> {
        let _place = self.places.acquire().await?;
        let output = MemoryOutputPipe::new(OUTPUT_BYTES);
        let wasi = WasiCtx::builder().stdout(output.clone()).inherit_stderr().build();
        let state = State {
            shared: Arc::clone(&self.shared),
            table: ResourceTable::new(),
            wanted: self.wanted(),
            allowed: self.shared.allowed.clone(),
            http: WasiHttpCtx::new(),
            wasi,
        };
        let mut store = Store::new(self.ready.engine(), state);
        let (sender, receiver) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let ready = self.ready.clone();
        let instance = tokio::spawn(async move {
            let proxy = ready.instantiate_async(&mut store).await?;
            proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
        });
        // The instance goes on until it ends by itself, and its output is whole before its answer is
        // seen: the component writes its event first.
        let answered = receiver.await;
        self.write(&output);
        match answered {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(code)) => Err(wasmtime::format_err!("the component answered with {code:?}")),
            Err(_) => {
                instance.await??;
                Err(wasmtime::format_err!("the component gave no answer"))
            }
        }
    }

    fn write(&self, output: &MemoryOutputPipe) {
        let bytes = output.contents();
        let written = match &self.shared.output {
            Some(file) => file.lock().expect("no panic").write_all(&bytes),
            None => std::io::stdout().lock().write_all(&bytes),
        };
        written.expect("the component's output can be written");
    }
}

impl spin::variables::Host for State {
    async fn get(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<String, spin::variables::Error>> {
        let found = self.shared.manifest.variables.get(&name).cloned();
        Ok(found.ok_or(spin::variables::Error::Undefined(name)))
    }
}

/// Instances at once; further requests wait.
const INSTANCES: usize = 64;

/// What an instance may write.
const OUTPUT_BYTES: usize = 1 << 20;
