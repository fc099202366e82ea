/** `npm start` without a terminal: ends by itself, and only well if the outcome was right. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root, run } from '../harness/programs.ts'

test('the demo kills a node, loses nothing and leaves nothing running', async () => {
  const { code, stdout, stderr } = await run(['examples/demo.ts'], { timeoutMs: 100_000 })
  expect(stdout, stderr).toContain('kill -9 node-')
  expect(stdout).toContain('54 of 54 tiles are finished')
  expect(stdout).toContain('The pictures are equal, byte for byte')
  expect(code).toBe(0)
  expect(readFileSync(join(root, '.troupe/demo.png')).subarray(1, 4).toString()).toBe('PNG')
  const pids = [...stdout.matchAll(/\(pid (\d+)\)/g)].map(([, pid]) => pid)
  expect(pids).toHaveLength(3)
  expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
}, 120_000)
