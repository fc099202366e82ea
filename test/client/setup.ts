/** A stage per test: a namespace, clients that are closed with the test, and a fake scheduler when wanted. */
import { afterEach } from 'vitest'
import { type ConnectOptions, connect } from '../../src/client/connect.ts'
import type { Troupe } from '../../src/client/troupe.ts'
import { freshNamespace, openTest, type TestServer, useServer } from '../harness/server.ts'
import { FakeScheduler } from './fake-scheduler.ts'

export interface Stage {
  readonly namespace: string
  client(options?: ConnectOptions): Promise<Troupe>
  /** A fake scheduler, reading from the log's start. */
  scheduler(): Promise<FakeScheduler>
}

/** Call at the top of a test file. */
export function useStages(): { readonly server: TestServer; stage(): Promise<Stage> } {
  const server = useServer()
  const closers: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
  return {
    server,
    stage: async () => {
      const namespace = freshNamespace()
      await (await openTest(server, namespace)).close()
      return {
        namespace,
        client: async (options = {}) => {
          const troupe = await connect({ servers: server.url, namespace, ...options })
          closers.push(() => troupe.close())
          return troupe
        },
        scheduler: async () => {
          const { bus, log, subjects } = await openTest(server, namespace)
          const scheduler = await new FakeScheduler(bus, subjects).start(log)
          closers.push(async () => {
            await scheduler.stop()
            await bus.close()
          })
          return scheduler
        },
      }
    },
  }
}
