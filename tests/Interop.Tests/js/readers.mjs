// node readers.mjs NAME: reads a realm over HTTP as its consumers do; a failed assertion ends it with exit code 1.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import Ajv from 'ajv'
import Ajv2020 from 'ajv/dist/2020.js'
import { parse } from 'yaml'
import { Client, assert, newIdentity, realm } from './client.mjs'

const require = createRequire(import.meta.url)
const { createCatalystClient } = require('dcl-catalyst-client')

const get = async (url) => {
  const response = await fetch(url)
  assert.equal(response.status, 200, url)
  return response.json()
}
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (condition) => {
  for (let result; ; await later(20)) if ((result = await condition())) return result
}

// Two people who stand together on the plaza, once everybody knows.
const people = await Promise.all(['ann', 'bob'].map(async (name) => new Client(name).enter(await newIdentity())))
const beat = () => people.forEach((p, i) => p.heartbeat(3 + i, 5))
beat()
const beating = setInterval(beat, 500)
await until(async () => {
  const { islands } = await get(`${realm.stats}islands`)
  return islands.some((i) => people.every((p) => i.peers.some((m) => m.id === p.id)))
})
await until(async () => (await get(`${realm.provider}main/about`)).comms.usersCount === 2)

const scenarios = {
  async 'the official catalyst client finds its servers'() {
    const client = createCatalystClient({ url: `${realm.provider}main`, fetcher: { fetch } })
    const about = await client.fetchAbout()
    assert.equal(about.healthy, true)
    assert.equal(about.acceptingUsers, true)
    assert.equal(about.configurations.realmName, 'main')
    assert.equal(about.comms.adapter, `archipelago:archipelago:${realm.ws}`)
    // The content client takes its URL from the answer.
    const scenes = await (await client.getContentClient()).fetchEntitiesByPointers(['0,0'])
    assert.equal(scenes[0].id, 'bafy1')
  },

  async 'every answer fits the schemas of the catalyst API'() {
    const api = parse(readFileSync(require.resolve('@dcl/catalyst-api-specs/lib/api.yaml'), 'utf8'))
    const ajv = new Ajv({ strict: false, validateFormats: false })
    ajv.addSchema(api, 'api')
    const answers = {
      about: `${realm.provider}main/about`,
      'stats-parcels': `${realm.stats}parcels`,
      peers: `${realm.stats}comms/peers`,
      islands: `${realm.stats}comms/islands`,
      realms: `${realm.provider}realms`,
      'hot-scenes': `${realm.provider}hot-scenes`,
    }
    for (const [schema, url] of Object.entries(answers)) {
      const fits = ajv.compile({ $ref: `api#/components/schemas/${schema}` })
      const answer = await get(url)
      assert.ok(fits(answer), `${url}: ${JSON.stringify(fits.errors)} in ${JSON.stringify(answer)}`)
      assert.ok(!fits(7), 'the schema refuses something')
    }
    const [hottest] = await get(`${realm.provider}hot-scenes`)
    assert.deepEqual(hottest.realms, [{ serverName: 'main', usersCount: 2 }, { serverName: 'hela', usersCount: 1 }])
  },

  async 'every answer fits the description that the host gives of itself'() {
    let checked = 0
    for (const [host, parameters] of [[realm.stats, { id: people[0].id }], [realm.provider, {}]]) {
      const description = await get(`${host}openapi.json`)
      assert.equal(description.openapi, '3.1.1')
      const ajv = new Ajv2020({ strict: false, validateFormats: false })
      ajv.addSchema(description, 'api')
      for (const [route, { get: operation }] of Object.entries(description.paths)) {
        const parameter = route.includes('/islands/') ? (await get(`${realm.stats}islands`)).islands.at(-1).id : parameters.id
        const [type, told] = Object.entries(operation.responses['200'].content)[0]
        if (type === 'text/event-stream') continue
        const response = await fetch(host + route.slice(1).replace('{id}', parameter))
        assert.equal(response.status, 200, route)
        assert.equal(response.headers.get('content-type').split(';')[0], type, route)
        if (type !== 'application/json') continue
        if (!told.schema || route === '/openapi.json') continue
        const fits = ajv.compile({ $ref: `api#/paths/${route.replaceAll('~', '~0').replaceAll('/', '~1').replace('{', '%7B').replace('}', '%7D')}/get/responses/200/content/application~1json/schema` })
        const answer = await response.json()
        assert.ok(fits(answer), `${route}: ${JSON.stringify(fits.errors)} in ${JSON.stringify(answer)}`)
        assert.ok(!fits(7), route)
        checked++
      }
    }
    assert.ok(checked >= 17, `${checked} answers`)
  },

  async 'an event source of another make draws the same picture as the API'() {
    const response = await fetch(`${realm.stats}stream`)
    assert.equal(response.headers.get('content-type'), 'text/event-stream')
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body) {
      text += decoder.decode(chunk, { stream: true })
      if (text.includes('event: changes')) break
    }
    const [event, data] = text.split('\n\n')[0].split('\n')
    assert.equal(event, 'event: world')
    const world = JSON.parse(data.slice('data: '.length))
    const { islands } = await get(`${realm.stats}islands`)
    const names = new Map(world.peers.map(([number, id]) => [number, id]))
    for (const person of people) {
      const told = world.islands.find((i) => i.peers.some((n) => names.get(n) === person.id))
      assert.equal(told.id, islands.find((i) => i.peers.some((p) => p.id === person.id)).id)
    }
  },
}

const scenario = scenarios[process.argv[2]]
assert.ok(scenario, `there is no scenario "${process.argv[2]}"`)
await scenario()
clearInterval(beating)
process.exit(0)
