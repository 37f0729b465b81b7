// A provider over TLS that people sign in at, of the makers of the certified `oidc-provider`: who asks for the name NAME is NAME, and is in the
// groups that the word before the `.` in it says. Must not be reachable from elsewhere.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const { PORT, CERTIFICATES, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, ALGORITHM } = process.env;

const [kind, size] = ALGORITHM === 'ES256' ? ['ec', { namedCurve: 'P-256' }] : ['rsa', { modulusLength: 2048 }];
const { privateKey } = generateKeyPairSync(kind, size);
const signing = { ...privateKey.export({ format: 'jwk' }), alg: ALGORITHM, use: 'sig', kid: 'of-this-run' };

const provider = new Provider(`https://localhost:${PORT}`, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  jwks: { keys: [signing] },
  claims: { openid: ['sub'], groups: ['groups'] },
  scopes: ['openid', 'groups'],
  // Claims stand in the ID token, not behind another question.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  cookies: { keys: ['of these tests alone'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, groups: [id.split('.')[0]] }) }),
});

const [key, cert] = ['key', 'pem'].map((end) => readFileSync(`${CERTIFICATES}/engine.${end}`));
createServer({ key, cert }, provider.callback()).listen(Number(PORT), '127.0.0.1');
