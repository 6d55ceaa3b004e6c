const { createYoga, createSchema } = require('graphql-yoga');
const yoga = createYoga({ schema: createSchema({ typeDefs: 'type Query { hello(name: String): String }', resolvers: { Query: { hello: (_, { name }) => `Hi ${name}` } } }), logging: false });
module.exports = { fetch: request => yoga.fetch(request) };
