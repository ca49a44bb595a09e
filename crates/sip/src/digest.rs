//! shim
use std::borrow::Cow;
#[derive(Debug,Clone)]
pub struct Credentials<'a>{pub username:Cow<'a,[u8]>,pub nonce:Cow<'a,[u8]>,pub uri:Cow<'a,[u8]>,pub response:&'a [u8],pub algorithm:Option<&'a [u8]>,pub cnonce:Option<Cow<'a,[u8]>>,pub qop:Option<&'a [u8]>,pub nc:Option<u32>,pub nc_text:Option<&'a [u8]>}
impl<'a> Credentials<'a>{pub fn parse(_v:&'a [u8])->Result<Self,crate::Error>{Err(crate::Error::at(crate::Why::Injection,0))}}
pub fn raw_username(_v:&[u8])->Option<&[u8]>{None}
