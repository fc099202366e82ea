/**
 * HTTP for machines: `/healthz` (the main loop turns), `/readyz` (joined and taking work), `/metrics` (Prometheus text).
 * It says what the process knows of itself and asks nobody.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { TroupeError } from '../protocol/errors.ts'
import type { TroupeProcess } from './process.ts'

export interface HealthServer {
  readonly port: number
  close(): Promise<void>
}

/** Listens on all interfaces. Throws TROUPE_INVALID_OPTION when the port is taken. `port` 0 picks a free one. */
export async function serveHealth(troupe: TroupeProcess, port: number): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]
    const [status, body] = answer(troupe, path ?? '/')
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' })
    response.end(request.method === 'HEAD' ? undefined : body)
  })
  server.requestTimeout = 5_000
  server.maxConnections = 100
  await listen(server, port)
  server.unref()
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new TroupeError('TROUPE_INVALID_OPTION', `health port ${port} cannot be used: ${error.message}`, {
          cause: error,
        }),
      )
    })
    server.listen(port, () => resolve())
  })
}

function answer(troupe: TroupeProcess, path: string): [status: number, body: string] {
  switch (path) {
    case '/healthz':
      return [200, 'ok\n']
    case '/readyz': {
      const complaint = troupe.complaint()
      return complaint === undefined ? [200, 'ready\n'] : [503, `${complaint}\n`]
    }
    case '/metrics':
      return [200, metrics(troupe)]
    default:
      return [404, 'not found: /healthz, /readyz, /metrics\n']
  }
}

function metrics(troupe: TroupeProcess): string {
  const lines: string[] = []
  const add = (
    name: string,
    help: string,
    type: 'gauge' | 'counter',
    rows: readonly [labels: string, value: number][],
  ) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const [labels, value] of rows) lines.push(`${name}${labels} ${value}`)
  }
  const memory = process.memoryUsage()
  add('troupe_connected', 'Whether the process is connected to NATS.', 'gauge', [['', troupe.bus.connected ? 1 : 0]])
  add('troupe_resident_bytes', 'Resident memory of the process.', 'gauge', [['', memory.rss]])
  add('troupe_heap_used_bytes', 'Used part of the JavaScript heap.', 'gauge', [['', memory.heapUsed]])
  add('troupe_external_bytes', 'Memory of buffers outside of the JavaScript heap.', 'gauge', [['', memory.external]])
  const { node, reader, scheduler } = troupe
  if (node !== undefined) {
    add('troupe_node_running', 'Turns that run on this node.', 'gauge', [['', node.slots.running.size]])
    add('troupe_node_held', 'Awarded tasks that wait for a slot on this node.', 'gauge', [['', node.slots.heldCount]])
    add('troupe_node_slots', 'Slots of this node.', 'gauge', [['', node.slots.slots]])
  }
  if (reader !== undefined) {
    const { state } = reader.ledger
    const counts = Object.entries(state.counts).map(([status, n]): [string, number] => [`{status="${status}"}`, n])
    const totals = Object.entries(state.totals).map(([what, n]): [string, number] => [`{what="${what}"}`, n])
    add('troupe_tasks', 'Tasks in the ledger by status.', 'gauge', counts)
    add('troupe_total', 'Submissions, ends by status, set-aside messages and void entries.', 'counter', totals)
    add('troupe_log_position', 'Sequence of the message folded last.', 'gauge', [['', state.position]])
    add('troupe_nodes', 'Live nodes in the ledger.', 'gauge', [['', state.membersBySubject.size]])
  }
  if (scheduler !== undefined) {
    add('troupe_scheduler_leading', 'Whether this scheduler leads.', 'gauge', [['', scheduler.leading ? 1 : 0]])
  }
  return `${lines.join('\n')}\n`
}
