// A real OpenID Connect provider for the tests: npm's certified `oidc-provider`, with its development pages, on a free
// port of the loopback. Called with the client's redirect address; prints its issuer as the first line, and ends when
// its standard input does. `PUT /people/<login>` with a JSON list says which groups somebody is in.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const CLIENT_ID = 'naru';
const CLIENT_SECRET = 'river-crossing-at-dawn';
const LARGEST_BODY_BYTES = 65536;

/** login → groups */
const people = new Map();

const configuration = (redirect) => ({
  clients: [{
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    redirect_uris: [redirect],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  claims: {
    openid: ['sub'],
    profile: ['preferred_username', 'name'],
    groups: ['groups'],
  },
  scopes: ['openid', 'profile', 'groups'],
  pkce: { methods: ['S256'], required: () => true },
  cookies: { keys: ['tests'] },
  findAccount: (_, login) => ({
    accountId: login,
    claims: () => ({
      sub: login,
      preferred_username: `${login}@id.example.com`,
      name: 'Somebody at the provider',
      groups: people.get(login) ?? [],
    }),
  }),
});

async function setGroups(request, response) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
    if (body.length > LARGEST_BODY_BYTES) throw new Error('too large');
  }
  people.set(decodeURIComponent(request.url.slice('/people/'.length)), JSON.parse(body));
  response.writeHead(204).end();
}

function main() {
  const redirect = process.argv[2];
  if (!redirect) throw new Error('usage: node provider.js <redirect address>');
  const server = createServer();
  server.listen(0, '127.0.0.1', () => {
    const issuer = `http://127.0.0.1:${server.address().port}`;
    const provider = new Provider(issuer, configuration(redirect));
    const answer = provider.callback();
    server.on('request', (request, response) => {
      if (request.method !== 'PUT') return answer(request, response);
      return setGroups(request, response).catch(() => response.writeHead(400).end());
    });
    console.log(issuer);
  });
  process.stdin.on('end', () => process.exit(0));
  process.stdin.resume();
}

main();
