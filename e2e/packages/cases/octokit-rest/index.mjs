import { Octokit } from '@octokit/rest';
import http from 'node:http';
let sent;
const server = http.createServer(async (req, res) => {
  res.setHeader('content-type', 'application/json');
  const body = Buffer.concat(await req.toArray());
  const at = `http://127.0.0.1:${server.address().port}`;
  if (req.method === 'POST') { sent = [req.method, req.url, req.headers.authorization, JSON.parse(body)]; return res.writeHead(201).end('{"number":7}'); }
  if (req.url.includes('page=2')) return res.end('[{"login":"b"}]');
  if (req.url.startsWith('/orgs/o/members')) return res.setHeader('link', `<${at}/orgs/o/members?page=2>; rel="next"`).end('[{"login":"a"}]');
  res.writeHead(404).end('{"message":"Not Found"}');
});
export default async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const gh = new Octokit({ auth: 't', baseUrl: `http://127.0.0.1:${server.address().port}`, log: { error() {}, warn() {}, debug() {}, info() {} } });
  const { data } = await gh.rest.issues.create({ owner: 'o', repo: 'r', title: 'Bug', labels: ['x'] });
  const pages = (await gh.paginate(gh.rest.orgs.listMembers, { org: 'o' })).map(m => m.login);
  const missing = await gh.rest.repos.get({ owner: 'o', repo: 'none' }).catch(e => e.status);
  server.close();
  return Response.json({ sent, number: data.number, pages, missing });
};
