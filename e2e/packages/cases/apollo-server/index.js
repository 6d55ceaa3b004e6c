const { ApolloServer, HeaderMap } = require('@apollo/server');
const server = new ApolloServer({ typeDefs: 'type Query { double(n: Int!): Int }', resolvers: { Query: { double: (_, { n }) => n * 2 } }, stopOnTerminationSignals: false });
server.startInBackgroundHandlingStartupErrorsByLoggingAndFailingAllRequests();
module.exports = async ctx => {
  const res = await server.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: ctx.method, headers: new HeaderMap(Object.entries(ctx.headers)), search: '', body: ctx.body }, context: async () => ({}),
  });
  return { status: res.status, headers: { 'content-type': 'application/json' }, body: res.body.string.trim() };
};
