/**
 * Work goes to the node that holds the data: `bid` says what a scene costs on the node that is asked. A node that has loaded
 * it takes the task at once; another would have to load it first; one that may not have it says so.
 */
import { readFile } from 'node:fs/promises'
import { task } from 'troupe'

const loaded = new Map<string, string>()

export const render = task(
  'render',
  async ({ scene }: { scene: string }) => {
    if (!loaded.has(scene)) loaded.set(scene, await readFile(scene, 'utf8'))
    return { lines: loaded.get(scene)!.split('\n').length, node: process.pid }
  },
  {
    bid: ({ input, node }) => {
      if (node.labels.zone === 'outside' && input.scene.includes('secret')) return { refuse: 'the scene stays inside' }
      return loaded.has(input.scene) ? 0 : '5s'
    },
  },
)
