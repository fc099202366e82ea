/** A user that was given its permissions by an older version: what it lacks is left undone, said once, and nothing else suffers. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { task } from '../../src/client/task.ts'
import { TroupeProcess } from '../../src/runtime/process.ts'
import { freshNamespace, useServer } from '../harness/server.ts'

const namespace = freshNamespace()
const bucket = `TROUPE_${namespace}_OBJECTS`
const denied = [`$JS.API.STREAM.PURGE.OBJ_${bucket}`, `$JS.API.STREAM.MSG.DELETE.OBJ_${bucket}`]
const server = useServer({
  config: `authorization { users: [
    { user: "older", password: "p", permissions: { publish: { allow: [">"], deny: ${JSON.stringify(denied)} } } },
    { user: "any", password: "p" } ] }`,
})

test('a scheduler that may not remove large values works as before, and says so', async () => {
  const lines: { level: number; msg: string }[] = []
  const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const definitions = [task('longer', (input: string) => `${input}!`)]
  const roles = ['scheduler', 'supervisor', 'node'] as const
  const user = { user: 'older', password: 'p' }
  const started = await TroupeProcess.start({ servers: server.url, ...user, namespace, roles, definitions, logger })
  try {
    const troupe = await connect({ servers: server.url, user: 'any', password: 'p', namespace })
    try {
      const input = 'x'.repeat(300_000)
      const handle = await troupe.submit('longer', input)
      expect(await handle.result()).toBe(`${input}!`)
      expect(started.complaint()).toBeUndefined()
      expect(lines.filter(({ msg }) => /may not/.test(msg)).map(({ msg }) => msg)).toEqual([
        'this scheduler may not remove large values: they stay for good',
      ])
    } finally {
      await troupe.close()
    }
  } finally {
    await started.stop()
  }
})
