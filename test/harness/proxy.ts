/**
 * A TCP proxy in front of a server that can be cut, held and slowed down like a network: what is connected through it
 * loses its connection, hears nothing more, or hears it late, while the server and everybody else go on.
 */
import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'

export interface TcpProxy extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Connections end, and new ones are refused. */
  cut(): void
  /** Connections stay open, and nothing passes. */
  freeze(): void
  /** What was held passes on, late. */
  thaw(): void
  /** Everything is well again; connections that were held end. */
  heal(): void
  /** What passes takes so much longer each way, more or less by `jitterMs`, in order. 0 for no delay. */
  slow(delayMs: number, jitterMs: number): void
  close(): Promise<void>
}

interface Way {
  mode: 'open' | 'cut' | 'frozen'
  delayMs: number
  jitterMs: number
}

export async function openProxy(serverUrl: string): Promise<TcpProxy> {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  const way: Way = { mode: 'open', delayMs: 0, jitterMs: 0 }
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  }
  const server = createServer((near) => {
    if (way.mode === 'cut') {
      near.destroy()
      return
    }
    const far = createConnection(Number(target.port), target.hostname)
    for (const socket of [near, far]) {
      keep(socket)
      socket.setNoDelay(true)
    }
    pass(near, far, way)
    pass(far, near, way)
    if (way.mode === 'frozen') for (const socket of [near, far]) socket.pause()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const endAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const close = async () => {
    endAll()
    server.close()
    await once(server, 'close')
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    cut() {
      way.mode = 'cut'
      endAll()
    },
    freeze() {
      way.mode = 'frozen'
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      way.mode = 'open'
      for (const socket of sockets) socket.resume()
    },
    heal() {
      if (way.mode === 'frozen') endAll()
      way.mode = 'open'
    },
    slow(delayMs, jitterMs) {
      way.delayMs = delayMs
      way.jitterMs = jitterMs
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** What comes from one socket goes to the other, in order, as late as the way says when it comes. */
function pass(from: Socket, to: Socket, way: Way): void {
  let lastAtMs = 0
  let underWay = 0
  const write = (chunk: Buffer) => {
    if (to.destroyed || to.write(chunk)) return
    from.pause()
    to.once('drain', () => way.mode !== 'frozen' && from.resume())
  }
  from.on('data', (chunk: Buffer) => {
    if (way.delayMs === 0 && underWay === 0) {
      write(chunk)
      return
    }
    const nowMs = performance.now()
    lastAtMs = Math.max(lastAtMs, nowMs + way.delayMs + way.jitterMs * (Math.random() - 0.5))
    underWay++
    setTimeout(() => {
      underWay--
      write(chunk)
    }, lastAtMs - nowMs)
  })
  from.on('close', () => to.destroy())
}
