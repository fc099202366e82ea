/** A server whose store may fail under it: its own log, and whatever else it needs, lies elsewhere. */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findServerBinary } from '../../src/runtime/server/binary.ts'
import { connectPlain } from '../harness/plain-client.ts'
import { until } from '../harness/server.ts'

export type Sync = 'default' | 'always'

export class Server {
  readonly url: string
  private readonly args: readonly string[]
  private child: ChildProcess | undefined

  constructor(sync: Sync, store: string, place: string, port: number) {
    this.url = `nats://127.0.0.1:${port}`
    const config = join(place, 'server.conf')
    const always = sync === 'always' ? ', sync_interval: always' : ''
    const lines = [
      `listen: "127.0.0.1:${port}"`,
      `log_file: ${JSON.stringify(join(place, 'server.log'))}`,
      `jetstream { store_dir: ${JSON.stringify(join(store, 'jetstream'))}, max_file_store: 800MB${always} }`,
    ]
    writeFileSync(config, lines.join('\n'))
    this.args = ['-c', config]
    process.once('exit', () => this.child?.kill('SIGKILL'))
  }

  async start(): Promise<void> {
    this.child = spawn(findServerBinary(), this.args, { stdio: 'ignore' })
    const client = await until(
      () => connectPlain(this.url, 'probe').catch(() => undefined),
      'the server answers',
      60_000,
    )
    await until(async () => (await client.jetStream())?.limits !== undefined, 'JetStream is ready', 60_000)
    await client.close()
  }

  async kill(): Promise<void> {
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await new Promise((done) => child.once('exit', done))
  }
}
