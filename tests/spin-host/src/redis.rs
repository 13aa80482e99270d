//! `fermyon:spin/redis@2.0.0` over TCP: enough of RESP 2 to send a command and read its answer.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use wasmtime::component::Resource;

use crate::bindings::fermyon::spin::redis::{
    Error, Host, HostConnection, RedisParameter, RedisResult,
};
use crate::runtime::State;

/// An open connection. `open` makes it, as Spin's does: a server that is not there fails that call.
#[derive(Clone)]
pub struct Connection(Arc<Mutex<BufReader<TcpStream>>>);

impl Host for State {}

impl HostConnection for State {
    async fn open(
        &mut self,
        address: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        let Some(place) = address.strip_prefix("redis://") else {
            return Ok(Err(Error::InvalidAddress));
        };
        let (login, place) = place.rsplit_once('@').unwrap_or(("", place));
        let place = place.trim_end_matches('/');
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "6379"));
        let port = port.parse().ok();
        if port.is_none() || !self.shared.allowed.has("redis", host, port) {
            return Ok(Err(Error::InvalidAddress));
        }
        let connected = TcpStream::connect((host, port.unwrap_or_default())).await;
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(Error::Other(error.to_string()))),
        };
        stream.set_nodelay(true)?;
        let connection = Connection(Arc::new(Mutex::new(BufReader::new(stream))));
        if let Some((_, password)) = login.split_once(':') {
            let answered = command(&connection, "AUTH", &[password.as_bytes().to_vec()]).await;
            if let Err(error) = answered {
                return Ok(Err(error));
            }
        }
        Ok(Ok(self.table.push(connection)?))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        name: String,
        arguments: Vec<RedisParameter>,
    ) -> wasmtime::Result<Result<Vec<RedisResult>, Error>> {
        let connection = self.table.get(&connection)?.clone();
        let arguments: Vec<Vec<u8>> = arguments
            .into_iter()
            .map(|argument| match argument {
                RedisParameter::Int64(number) => number.to_string().into_bytes(),
                RedisParameter::Binary(bytes) => bytes,
            })
            .collect();
        let broken = || Error::Other("the server is broken, as was asked for".to_owned());
        let busy = || Error::Other("BUSY as was asked for".to_owned());
        Ok(self.shared.faults.run(command(&connection, &name, &arguments), broken, busy).await)
    }

    async fn publish(
        &mut self,
        _: Resource<Connection>,
        _: String,
        _: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(unused()))
    }

    async fn get(
        &mut self,
        _: Resource<Connection>,
        _: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(Err(unused()))
    }

    async fn set(
        &mut self,
        _: Resource<Connection>,
        _: String,
        _: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(unused()))
    }

    async fn incr(
        &mut self,
        _: Resource<Connection>,
        _: String,
    ) -> wasmtime::Result<Result<i64, Error>> {
        Ok(Err(unused()))
    }

    async fn del(
        &mut self,
        _: Resource<Connection>,
        _: Vec<String>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        Ok(Err(unused()))
    }

    async fn sadd(
        &mut self,
        _: Resource<Connection>,
        _: String,
        _: Vec<String>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        Ok(Err(unused()))
    }

    async fn smembers(
        &mut self,
        _: Resource<Connection>,
        _: String,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        Ok(Err(unused()))
    }

    async fn srem(
        &mut self,
        _: Resource<Connection>,
        _: String,
        _: Vec<String>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        Ok(Err(unused()))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

fn unused() -> Error {
    Error::Other("this host offers `execute` alone".to_owned())
}

/// Sends one command and reads its answer, nested arrays flattened, as Spin does.
async fn command(
    connection: &Connection,
    name: &str,
    arguments: &[Vec<u8>],
) -> Result<Vec<RedisResult>, Error> {
    let failed = |error: std::io::Error| Error::Other(error.to_string());
    let mut line = format!("*{}\r\n", arguments.len() + 1).into_bytes();
    for part in std::iter::once(name.as_bytes()).chain(arguments.iter().map(Vec::as_slice)) {
        line.extend(format!("${}\r\n", part.len()).into_bytes());
        line.extend(part);
        line.extend(b"\r\n");
    }
    let mut stream = connection.0.lock().await;
    stream.get_mut().write_all(&line).await.map_err(failed)?;
    let (mut answer, mut left) = (Vec::new(), 1_usize);
    while left > 0 {
        left -= 1;
        let mut head = String::new();
        stream.read_line(&mut head).await.map_err(failed)?;
        let head = head.trim_end();
        let (kind, rest) = head
            .split_at_checked(1)
            .ok_or_else(|| Error::Other("the server closed the connection".to_owned()))?;
        let number = rest.parse::<i64>();
        match (kind, number) {
            ("+", _) => answer.push(RedisResult::Status(rest.to_owned())),
            ("-", _) => return Err(Error::Other(rest.to_owned())),
            (":", Ok(number)) => answer.push(RedisResult::Int64(number)),
            ("$" | "*", Ok(-1)) => answer.push(RedisResult::Nil),
            ("*", Ok(count)) => left += usize::try_from(count).unwrap_or_default(),
            ("$", Ok(length)) => {
                let mut bytes = vec![0; usize::try_from(length).unwrap_or_default() + 2];
                stream.read_exact(&mut bytes).await.map_err(failed)?;
                bytes.truncate(bytes.len() - 2);
                answer.push(RedisResult::Binary(bytes));
            }
            _ => return Err(Error::Other(format!("`{head}` is no answer"))),
        }
    }
    Ok(answer)
}
