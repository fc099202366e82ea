/**
 * HTTP for machines: `/healthz` (the main loop turns), `/readyz` (joined and taking work), `/metrics` (Prometheus text).
 * It says what the process knows of itself and asks nobody.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LedgerState } from '../actors/ledger/state.ts'
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

type Row = readonly [labels: string, value: number]

function metrics(troupe: TroupeProcess): string {
  const lines: string[] = []
  const add = (name: string, help: string, type: 'gauge' | 'counter', rows: readonly Row[]) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const [labels, value] of rows) lines.push(`${name}${labels} ${value}`)
  }
  const memory = process.memoryUsage()
  add('troupe_connected', 'Whether the process is connected to NATS.', 'gauge', [['', troupe.bus.connected ? 1 : 0]])
  add('troupe_resident_bytes', 'Resident memory of the process.', 'gauge', [['', memory.rss]])
  add('troupe_heap_used_bytes', 'Used part of the JavaScript heap.', 'gauge', [['', memory.heapUsed]])
  add('troupe_external_bytes', 'Memory of buffers outside of the JavaScript heap.', 'gauge', [['', memory.external]])
  const nodes = troupe.partitions.flatMap(({ node }) => node ?? [])
  if (nodes[0] !== undefined) {
    const sum = (count: (node: (typeof nodes)[number]) => number) => nodes.reduce((all, node) => all + count(node), 0)
    add('troupe_node_running', 'Turns that run on this node.', 'gauge', [['', sum(({ slots }) => slots.running.size)]])
    add('troupe_node_held', 'Awarded tasks that wait for a slot on this node.', 'gauge', [
      ['', sum(({ slots }) => slots.heldCount)],
    ])
    add('troupe_node_slots', 'Slots of this node.', 'gauge', [['', nodes[0].slots.slots]])
  }
  const ledgers = troupe.partitions.flatMap(({ reader, partition }) =>
    reader === undefined ? [] : [{ partition, state: reader.ledger.state }],
  )
  /** The labels of a row; with its partition, where there are several. */
  const labelled = (partition: number, label = '') => {
    const labels = [label, troupe.partitions.length > 1 ? `partition="${partition}"` : ''].filter(Boolean).join(',')
    return labels === '' ? '' : `{${labels}}`
  }
  if (ledgers.length > 0) {
    const counted = (of: string, counts: (state: LedgerState) => Readonly<Record<string, number>>) =>
      ledgers.flatMap(({ partition, state }) =>
        Object.entries(counts(state)).map(([name, n]): Row => [labelled(partition, `${of}="${name}"`), n]),
      )
    const each = (count: (state: LedgerState) => number) =>
      ledgers.map(({ partition, state }): Row => [labelled(partition), count(state)])
    add(
      'troupe_tasks',
      'Tasks in the ledger by status.',
      'gauge',
      counted('status', ({ counts }) => counts),
    )
    const totals = counted('what', (state) => ({ ...state.totals }))
    add('troupe_total', 'Submissions, ends by status, set-aside messages and void entries.', 'counter', totals)
    add(
      'troupe_log_position',
      'Sequence of the message folded last.',
      'gauge',
      each(({ position }) => position),
    )
    add(
      'troupe_nodes',
      'Live nodes in the ledger.',
      'gauge',
      each(({ membersBySubject }) => membersBySubject.size),
    )
  }
  const leading = troupe.partitions.flatMap(({ scheduler, partition }): Row[] =>
    scheduler === undefined ? [] : [[labelled(partition), scheduler.leading ? 1 : 0]],
  )
  if (leading.length > 0) add('troupe_scheduler_leading', 'Whether this scheduler leads.', 'gauge', leading)
  return `${lines.join('\n')}\n`
}
