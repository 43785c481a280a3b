import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  OAuthError,
  parseRefreshRequest,
  parseRevokeRequest,
  parseTokenRequest,
} from '../../../../src/platform/auth/token-request.ts'

const json = (headers: Record<string, string> = {}) =>
  new Headers({ 'content-type': 'application/json', ...headers })
const form = (headers: Record<string, string> = {}) =>
  new Headers({ 'content-type': 'application/x-www-form-urlencoded', ...headers })
const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
})

const credentials = [{ id: 'shop', secret: 's' }]
const asked = { grantType: 'client_credentials', credentials }

describe('a token request', () => {
  test.each([
    [
      'as JSON',
      '{"grant_type":"client_credentials","client_id":"shop","client_secret":"s"}',
      json(),
      asked,
    ],
    ['as a form', 'grant_type=client_credentials&client_id=shop&client_secret=s', form(), asked],
    ['with Basic', 'grant_type=client_credentials', form(basic('shop', 's')), asked],
    [
      'with Basic, in each encoding that clients use',
      'grant_type=client_credentials',
      form(basic('sh%3Aop', 'a+b%25')),
      {
        credentials: [
          { id: 'sh:op', secret: 'a b%' },
          { id: 'sh:op', secret: 'a+b%' },
          { id: 'sh%3Aop', secret: 'a+b%25' },
        ],
      },
    ],
    [
      'with Basic, with a percent sign that encodes nothing',
      'grant_type=client_credentials',
      form(basic('shop', '100%')),
      { credentials: [{ id: 'shop', secret: '100%' }] },
    ],
    [
      'as a form whose media type is in upper case',
      'grant_type=client_credentials&client_id=shop&client_secret=s',
      new Headers({ 'content-type': 'application/X-WWW-Form-URLEncoded; charset=UTF-8' }),
      { ...asked, isForm: true },
    ],
    [
      'with Basic and the same client_id',
      'grant_type=password&client_id=shop',
      form(basic('shop', 's')),
      { credentials },
    ],
    [
      'with Basic and no secret',
      'grant_type=client_credentials',
      form(basic('page', '')),
      { credentials: [{ id: 'page', secret: undefined }] },
    ],
    [
      'as JSON with the content type of a form',
      '{"grant_type":"password","client_id":"shop"}',
      form(),
      { grantType: 'password' },
    ],
    [
      'with scopes in an array',
      '{"grant_type":"password","client_id":"shop","scope":["a","b c"]}',
      json(),
      { scope: ['a', 'b', 'c'] },
    ],
    [
      'with scopes in a string',
      'grant_type=password&client_id=shop&scope=a%20b&scope=c',
      form(),
      { scope: ['a', 'b', 'c'] },
    ],
    [
      'with null for absent fields',
      '{"grant_type":"password","client_id":"shop","scope":null,"username":null}',
      json(),
      { scope: undefined, username: undefined },
    ],
  ])('is parsed %s', (_, body, headers, expected) => {
    expect(parseTokenRequest(body, headers)).toMatchObject(expected)
  })

  test.each([
    ['no body', '', json()],
    ['no grant_type', '{"client_id":"shop"}', json()],
    ['no client_id', '{"grant_type":"client_credentials"}', json()],
    ['a number for client_id', '{"grant_type":"password","client_id":7}', json()],
    ['an array', '[]', json()],
    ['a repeated field', 'grant_type=password&client_id=a&client_id=b', form()],
    ['two ways to authenticate', 'grant_type=password&client_secret=s', form(basic('shop', 's'))],
    ['two different clients', 'grant_type=password&client_id=page', form(basic('shop', 's'))],
    ['Basic without base64', 'grant_type=password', form({ authorization: 'Basic sh:op' })],
    ['Basic without credentials', 'grant_type=password', form({ authorization: 'Basic' })],
    ['a secret without client_id', '{"grant_type":"password","client_secret":"s"}', json()],
    [
      '51 fields',
      JSON.stringify({
        grant_type: 'password',
        client_id: 'a',
        x: Object.fromEntries(Array.from({ length: 48 }, (_, at) => [`x${at}`, at])),
      }),
      json(),
    ],
    ['Basic without a colon', 'grant_type=password', form({ authorization: 'Basic c2hvcA==' })],
    [
      'a secret of 1025 characters',
      `grant_type=password&client_id=a&client_secret=${'x'.repeat(1025)}`,
      form(),
    ],
    ['a scope of numbers', '{"grant_type":"password","client_id":"a","scope":[1]}', json()],
    [
      '101 scopes',
      `{"grant_type":"password","client_id":"a","scope":"${'s '.repeat(101)}"}`,
      json(),
    ],
  ])('with %s is invalid_request', (_, body, headers) => {
    const parse = () => parseTokenRequest(body, headers)
    expect(parse).toThrow(expect.objectContaining({ code: 'invalid_request' }))
  })

  test('is parsed or throws OAuthError, for any body', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (body, isForm) => {
        try {
          parseTokenRequest(body, isForm ? form() : json())
        } catch (error) {
          expect(error).toBeInstanceOf(OAuthError)
        }
      }),
    )
  })

  test('for a refresh needs the refresh token only', () => {
    const contract = { refreshToken: 'r', credentials: [] }
    expect(parseRefreshRequest('{"refresh_token":"r"}', json())).toEqual(contract)
    expect(parseRefreshRequest('refresh_token=r', form())).toEqual(contract)
    const bearer = json({ authorization: 'Bearer old' })
    expect(parseRefreshRequest('{"refresh_token":"r"}', bearer)).toEqual(contract)
    expect(parseRefreshRequest('refresh_token=r', form(basic('shop', 's')))).toEqual({
      refreshToken: 'r',
      credentials,
    })
    expect(() => parseRefreshRequest('{}', json())).toThrow('refresh_token is missing')
    expect(() => parseRefreshRequest('{"refresh_token":"r","client_secret":"s"}', json())).toThrow(
      'client_id is missing',
    )
  })

  test('for a revocation needs a token and a client', () => {
    const body = 'token=t&token_type_hint=access_token&client_id=page'
    expect(parseRevokeRequest(body, form())).toEqual({
      token: 't',
      credentials: [{ id: 'page', secret: undefined }],
    })
    expect(() => parseRevokeRequest('client_id=page', form())).toThrow('token is missing')
    expect(() => parseRevokeRequest('token=t', form())).toThrow('client_id is missing')
  })
})
