import { Webhooks } from '@octokit/webhooks';
const hooks = new Webhooks({ secret: "It's a Secret to Everybody" });
export default async request => {
  const got = [];
  hooks.on('issues.opened', ({ name, payload }) => got.push(`${name}.${payload.action}`, payload.issue.number));
  const payload = await request.text(), signature = request.headers.get('x-hub-signature-256');
  await hooks.verifyAndReceive({ id: '1', name: 'issues', payload, signature });
  return Response.json({
    got, hello: await hooks.verify('Hello, World!', 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'),
    forged: await hooks.verify(`${payload} `, signature),
  });
};
