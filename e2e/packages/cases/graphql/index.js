const { graphql, buildSchema, validate, parse } = require('graphql');
const schema = buildSchema('type User { id: ID! name: String friends: [User!]! } type Query { user(id: ID!): User }');
const user = id => ({ id, name: 'BOB', friends: () => [user(String(+id + 1))] });
module.exports = async () => ({
  data: (await graphql({ schema, source: 'query Q($id: ID!) { user(id: $id) { name friends { id } } }', variableValues: { id: 1 }, rootValue: { user: ({ id }) => user(id) } })).data,
  error: validate(schema, parse('{ user(id: 1) { nope } }'))[0].message,
});
