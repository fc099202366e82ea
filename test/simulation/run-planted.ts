/** `node run-planted.ts [share of shares]`: runs seeds until each planted bug of its share is found; a JSON line for each. */
import { check } from './checker/check.ts'
import { plants } from './planted.ts'
import { simulate } from './simulation.ts'

const [share = 0, shares = 1] = (process.argv[2] ?? '0/1').split('/').map(Number)
const seedsMax = 400
const steps = 5_000

for (const [index, plant] of plants.entries()) {
  if (index % shares !== share) continue
  let found: readonly string[] = []
  let seed = 0
  while (found.length === 0 && seed < seedsMax) {
    seed++
    const { history } = await simulate({ seed, steps, plant })
    found = check(history).violations.map(({ predicate }) => predicate)
  }
  process.stdout.write(`${JSON.stringify({ name: plant.name, bug: plant.bug, seed, found })}\n`)
}
