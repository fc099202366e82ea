/**
 * A TCP proxy in front of a server that can be cut like a network: what is connected through it loses its connection,
 * or hears nothing more, while the server and everybody else go on.
 */
import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'

export interface Proxy extends AsyncDisposable {
  readonly url: string
  /** Connections end, and new ones are refused. */
  cut(): void
  /** Connections stay open, and nothing passes. */
  freeze(): void
  heal(): void
  close(): Promise<void>
}

export async function openProxy(serverUrl: string): Promise<Proxy> {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  let mode: 'open' | 'cut' | 'frozen' = 'open'
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  }
  const server = createServer((near) => {
    if (mode === 'cut') {
      near.destroy()
      return
    }
    const far = createConnection(Number(target.port), target.hostname)
    keep(near)
    keep(far)
    if (mode === 'open') {
      near.pipe(far)
      far.pipe(near)
    }
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const close = async () => {
    endAll()
    server.close()
    await once(server, 'close')
  }
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      mode = 'cut'
      endAll()
    },
    freeze() {
      mode = 'frozen'
      for (const socket of sockets) {
        socket.unpipe()
        socket.pause()
      }
    },
    heal() {
      // What was frozen has lost its pipes; it starts anew.
      if (mode === 'frozen') endAll()
      mode = 'open'
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
